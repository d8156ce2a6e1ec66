// The fused form: every pipeline of the sample that CMakeLists.txt lists, for every target that this CPU runs, against the reference,
// with each tensor ending at, and then starting after, a page that may not be touched.
#include <charconv>
#include <cmath>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "HalideRuntime.h"
#include "gtest/gtest.h"
#include "guarded.h"
#include "reference.h"
#include "registry.h"
#include "sepconv/sepconv.h"

extern "C" {
#define SEPCONV_FUSED(function, ...) \
    int function(halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *);
#define SEPCONV_FUSED_PACKED(function, ...)                                                                               \
    SEPCONV_FUSED(function, )                                                                                             \
    int function##_packing(halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, \
                           halide_buffer_t *);
#include "fused_registry.inc"
#undef SEPCONV_FUSED_PACKED
#undef SEPCONV_FUSED
}

namespace sepconv {
namespace {

using Packing = int (*)(halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *);
using Function = int (*)(halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *);

struct Fused {
    std::string name, target;
    Function function;
    Packing packing;  // null: takes Keras' weights
    std::int64_t height, width, channels, filters;
    std::string params;
};
std::ostream &operator<<(std::ostream &out, const Fused &fused) { return out << fused.params; }

std::vector<Fused> all_fused() {
    std::vector<Fused> list;
    auto add = [&](const Fused &fused) {
        if (runs_here(*find_target(fused.target))) list.push_back(fused);
    };
#define SEPCONV_FUSED(function, target, height, width, channels, filters, params) \
    add({#function, #target, &function, nullptr, height, width, channels, filters, params});
#define SEPCONV_FUSED_PACKED(function, target, height, width, channels, filters, params) \
    add({#function, #target, &function, &function##_packing, height, width, channels, filters, params});
#include "fused_registry.inc"
#undef SEPCONV_FUSED_PACKED
#undef SEPCONV_FUSED
    return list;
}

// The config that generator parameters stand for.
LayerConfig config_of(const Fused &fused) {
    std::map<std::string, std::string> params;
    std::istringstream words(fused.params);
    for (std::string word; words >> word;) params[word.substr(0, word.find('='))] = word.substr(word.find('=') + 1);
    auto number = [&](const std::string &key, std::int64_t otherwise) { return params.count(key) ? std::stoll(params[key]) : otherwise; };
    LayerConfig config;
    config.filters = fused.filters;
    config.kernel_size = {number("kernel_height", 3), number("kernel_width", 3)};
    config.strides = {number("stride_y", 1), number("stride_x", 1)};
    config.dilation_rate = {number("dilation_y", 1), number("dilation_x", 1)};
    config.depth_multiplier = number("depth_multiplier", 1);
    config.padding = params["padding"] == "same" ? Padding::same : Padding::valid;
    config.data_format = params["channels_first"] == "true" ? DataFormat::channels_first : DataFormat::channels_last;
    config.use_bias = params["use_bias"] != "false";
    if (params.count("activation")) {
        ParseContext context;
        context.data_format = config.data_format;
        const std::string json = R"({"filters": 2, "kernel_size": 1, "activation": ")" + params["activation"] + "\"}";
        config.activation = parse_config(json, context).activation;
    }
    return config;
}

// A float32 buffer over dense memory, the first extent innermost.
struct DenseBuffer {
    std::vector<halide_dimension_t> dimensions;
    halide_buffer_t buffer = {};
    DenseBuffer(float *values, const std::vector<std::int64_t> &extents) {
        std::int32_t stride = 1;
        for (const std::int64_t extent : extents) {
            dimensions.emplace_back(0, static_cast<std::int32_t>(extent), stride);
            stride *= static_cast<std::int32_t>(extent);
        }
        buffer.host = reinterpret_cast<std::uint8_t *>(values);
        buffer.type = halide_type_t(halide_type_float, 32);
        buffer.dimensions = static_cast<int>(dimensions.size());
        buffer.dim = dimensions.data();
    }
    std::int64_t count() const {
        std::int64_t product = 1;
        for (const halide_dimension_t &dimension : dimensions) product *= dimension.extent;
        return product;
    }
    void use(float *values) { buffer.host = reinterpret_cast<std::uint8_t *>(values); }
};

std::vector<std::int64_t> reversed(const Shape &shape) { return {shape[3], shape[2], shape[1], shape[0]}; }

class FusedForm : public testing::TestWithParam<Fused> {};

TEST_P(FusedForm, EqualsTheReferenceAndTouchesNothingBesideItsTensors) {
    const Fused &fused = GetParam();
    const LayerConfig config = config_of(fused);
    const std::int64_t depthwise_channels = fused.channels * config.depth_multiplier, batch = 2;
    const Shape input_shape = config.data_format == DataFormat::channels_first ? Shape{batch, fused.channels, fused.height, fused.width}
                                                                               : Shape{batch, fused.height, fused.width, fused.channels};
    const Shape output = output_shape(config, input_shape);
    std::mt19937 random(7);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (const Guard guard : {Guard::after, Guard::before}) {
        auto filled = [&](std::int64_t count) {
            GuardedFloats values(count, guard);
            for (std::int64_t i = 0; i < count; i++) values.data()[i] = uniform(random);
            return values;
        };
        GuardedFloats image = filled(input_shape[0] * input_shape[1] * input_shape[2] * input_shape[3]);
        GuardedFloats depthwise = filled(config.kernel_size[0] * config.kernel_size[1] * depthwise_channels);
        GuardedFloats pointwise = filled(depthwise_channels * config.filters), bias = filled(config.filters);
        GuardedFloats found(output[0] * output[1] * output[2] * output[3], guard);
        const Weights weights = {depthwise.data(),
                                 {config.kernel_size[0], config.kernel_size[1], fused.channels, config.depth_multiplier},
                                 pointwise.data(),
                                 {1, 1, depthwise_channels, config.filters},
                                 config.use_bias ? bias.data() : nullptr,
                                 config.use_bias ? config.filters : 0};
        DenseBuffer in(image.data(), reversed(input_shape)), taps(depthwise.data(), reversed(weights.depthwise_shape));
        DenseBuffer matrix(pointwise.data(), {config.filters, depthwise_channels}), biases(bias.data(), {config.filters});
        if (fused.packing == nullptr) {
            DenseBuffer out(found.data(), reversed(output));
            ASSERT_EQ(fused.function(&in.buffer, &taps.buffer, &matrix.buffer, &biases.buffer, &out.buffer), 0);
        } else {
            DenseBuffer packed_taps(nullptr, {0, 0, 0, 0}), panels(nullptr, {0, 0}), padded_bias(nullptr, {0});
            auto pack = [&] {
                return fused.packing(&taps.buffer, &matrix.buffer, &biases.buffer, &packed_taps.buffer, &panels.buffer,
                                     &padded_bias.buffer);
            };
            ASSERT_EQ(pack(), 0);  // without memory: asks for the extents
            GuardedFloats of_taps(packed_taps.count(), guard), of_panels(panels.count(), guard), of_bias(padded_bias.count(), guard);
            packed_taps.use(of_taps.data()), panels.use(of_panels.data()), padded_bias.use(of_bias.data());
            ASSERT_EQ(pack(), 0);
            const std::int64_t pixels = output[1] * output[2];
            DenseBuffer out(found.data(), {config.filters, pixels, batch});
            ASSERT_EQ(fused.function(&in.buffer, &packed_taps.buffer, &panels.buffer, &padded_bias.buffer, &out.buffer), 0);
        }

        const std::vector<double> expected =
            reference::activated(reference::product(config, weights, image.data(), input_shape), config.activation).values;
        double largest = 0;
        for (const double value : expected) largest = std::max(largest, std::abs(value));
        for (std::size_t i = 0; i < expected.size(); i++) {
            ASSERT_NEAR(found.data()[i], expected[i], 1e-5 * largest) << "at " << i << " of " << expected.size();
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Sample, FusedForm, testing::ValuesIn(all_fused()), [](const auto &info) { return info.param.name; });

}  // namespace
}  // namespace sepconv
