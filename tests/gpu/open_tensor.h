// A tensor of any strides in a device's memory, run by Halide's OpenCL runtime: what the tests of functions hold that leave every stride
// open, with canaries wherever no element lies.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "HalideRuntime.h"
#include "HalideRuntimeOpenCL.h"
#include "gtest/gtest.h"
#include "sepconv/float16.h"

namespace sepconv {

/// Where elements lie: without gaps; with a gap after each one and after each dimension; or the first dimension outermost, with gaps too.
enum class Strides { dense, apart, reversed };
constexpr Strides all_strides[] = {Strides::dense, Strides::apart, Strides::reversed};

inline std::string last_opencl_error;

/// Words are float, or uint16_t for the bits of float16. What the device holds is freed at the end.
template <typename Word>
class OpenTensor {
public:
    /// @param extents  the first innermost in the order of `element`
    OpenTensor(const std::vector<std::int64_t> &extents, Strides strides) : extents_(extents) {
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
    ~OpenTensor() { halide_device_free(nullptr, &flat_); }
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
        flat_dimension_ = halide_dimension_t(0, static_cast<std::int32_t>(memory_.size()), 1);
        flat_ = described(&flat_dimension_, 1);
        flat_.host = reinterpret_cast<std::uint8_t *>(memory_.data());
        flat_.set_host_dirty();
        EXPECT_EQ(halide_copy_to_device(nullptr, &flat_, halide_opencl_device_interface()), 0) << last_opencl_error;
        view_ = described(dimensions_.data(), static_cast<int>(dimensions_.size()));
        view_.device = flat_.device, view_.device_interface = flat_.device_interface;
        return &view_;
    }
    void from_device() {
        flat_.set_device_dirty();
        ASSERT_EQ(halide_copy_to_host(nullptr, &flat_), 0) << last_opencl_error;
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

    static halide_buffer_t described(halide_dimension_t *dimensions, int count) {
        halide_buffer_t buffer = {};
        constexpr bool is_float = sizeof(Word) == 4;
        buffer.type = halide_type_t(is_float ? halide_type_float : halide_type_uint, is_float ? 32 : 16);
        buffer.dimensions = count;
        buffer.dim = dimensions;
        return buffer;
    }

    std::vector<std::int64_t> extents_;
    std::vector<halide_dimension_t> dimensions_;
    std::vector<Word> memory_;
    halide_dimension_t flat_dimension_;
    halide_buffer_t flat_ = {}, view_ = {};
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
