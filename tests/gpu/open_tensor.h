// A tensor of any strides in a device's memory, with canaries wherever no element lies; and the functions of the table that leave every
// stride open, for each API.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <ostream>
#include <string>
#include <vector>

#include "HalideRuntime.h"
#include "gpu/calls.h"
#include "gpu/device.h"
#include "gpu/rows.h"
#include "gtest/gtest.h"
#include "sepconv/float16.h"

namespace sepconv {

/// Where elements lie: without gaps; with a gap after each one and after each dimension; or the first dimension outermost, with gaps too.
enum class Strides { dense, apart, reversed };
constexpr Strides all_strides[] = {Strides::dense, Strides::apart, Strides::reversed};

/// The functions of one stage and activation for an API.
struct OpenFunctions {
    gpu::Api api;
    std::string kind;
    const gpu::Row *float32 = nullptr, *float16 = nullptr;  ///< nullptr where the API has none

    std::string test_name() const { return std::string(gpu::name(api)) + "_" + kind; }
    gpu::Device &device() const { return gpu::device_of(gpu::name(api)); }
    template <typename Word>
    const gpu::Row *row() const {
        return sizeof(Word) == 4 ? float32 : float16;
    }
};
inline std::ostream &operator<<(std::ostream &out, const OpenFunctions &functions) { return out << functions.test_name(); }

/// Of the APIs for which a CPU does where there is no GPU.
inline std::vector<OpenFunctions> open_functions(gpu::Stage stage) {
    std::vector<OpenFunctions> list;
    for (const gpu::Row &row : gpu::rows()) {
        if (row.stage != stage || row.api == gpu::Api::cuda) continue;
        const auto same = [&](const OpenFunctions &one) { return one.api == row.api && one.kind == row.params.activation; };
        auto found = std::find_if(list.begin(), list.end(), same);
        if (found == list.end()) found = list.insert(list.end(), {row.api, row.params.activation});
        (row.type == Dtype::float16 ? found->float16 : found->float32) = &row;
    }
    return list;
}

/// Words are float, or uint16_t for the bits of float16. What the device holds is freed at the end.
template <typename Word>
class OpenTensor {
public:
    /// @param extents  the first innermost in the order of `element`
    OpenTensor(gpu::Device &device, const std::vector<std::int64_t> &extents, Strides strides) : device_(device), extents_(extents) {
        dimensions_.resize(extents.size());
        std::int64_t stride = strides == Strides::apart ? 2 : 1;
        for (std::size_t i = 0; i < extents.size(); i++) {
            const std::size_t d = strides == Strides::reversed ? extents.size() - 1 - i : i;
            dimensions_[d] = halide_dimension_t(0, static_cast<std::int32_t>(extents[d]), static_cast<std::int32_t>(stride));
            stride = stride * extents[d] + (strides == Strides::dense ? 0 : 3);
        }
        memory_.resize(static_cast<std::size_t>(stride) + 1);
        std::memset(memory_.data(), canary, memory_.size() * sizeof(Word));
    }
    ~OpenTensor() { device_.free(on_device_); }
    OpenTensor(const OpenTensor &) = delete;
    OpenTensor &operator=(const OpenTensor &) = delete;

    /// Along these the tensor has one value, and in memory one element.
    void repeat(const std::vector<bool> &along) {
        for (std::size_t d = 0; d < along.size(); d++) {
            if (along[d]) dimensions_[d].stride = 0;
        }
    }

    std::int64_t count() const {
        std::int64_t product = 1;
        for (const std::int64_t extent : extents_) product *= extent;
        return product;
    }
    Word &element(std::int64_t i) { return memory_[place(i)]; }
    std::int64_t place(std::int64_t i) const {
        std::int64_t at = 0;
        for (std::size_t d = 0; d < extents_.size(); d++) {
            at += i % extents_[d] * dimensions_[d].stride;
            i /= extents_[d];
        }
        return at;
    }

    /// The tensor on the device, with all that lies between its elements.
    halide_buffer_t *on_device() {
        if (on_device_ == 0) on_device_ = device_.allocate(bytes());
        device_.upload(on_device_, memory_.data(), bytes(), {});
        device_.synchronize({});
        view_ = {};
        view_.type = halide_type_t(sizeof(Word) == 4 ? halide_type_float : halide_type_uint, 8 * sizeof(Word));
        view_.dimensions = static_cast<int>(dimensions_.size());
        view_.dim = dimensions_.data();
        view_.device = on_device_;
        return &view_;
    }
    void from_device() {
        device_.download(memory_.data(), on_device_, bytes(), {});
        device_.synchronize({});
    }

    /// That nothing but elements was written.
    void expect_canaries_between() const {
        std::vector<bool> taken(memory_.size());
        for (std::int64_t i = 0; i < count(); i++) taken[static_cast<std::size_t>(place(i))] = true;
        for (std::size_t i = 0; i < memory_.size(); i++) {
            if (taken[i]) continue;
            const auto *bytes = reinterpret_cast<const std::uint8_t *>(&memory_[i]);
            for (std::size_t byte = 0; byte < sizeof(Word); byte++) ASSERT_EQ(bytes[byte], canary) << "beside the elements, at " << i;
        }
    }

private:
    static constexpr std::uint8_t canary = 0xa5;

    std::size_t bytes() const { return memory_.size() * sizeof(Word); }

    gpu::Device &device_;
    std::vector<std::int64_t> extents_;
    std::vector<halide_dimension_t> dimensions_;
    std::vector<Word> memory_;
    gpu::Memory on_device_ = 0;
    halide_buffer_t view_ = {};
};

/// The value that a word stands for.
inline double number(float word) { return word; }
inline double number(std::uint16_t word) { return static_cast<float>(float16::from_bits(word)); }

/// By how much rounding to a word may change a value.
template <typename Word>
double rounding(double value) {
    return sizeof(Word) == 4 ? 0 : std::abs(value) * 0x1p-11 + 0x1p-25;
}

}  // namespace sepconv
