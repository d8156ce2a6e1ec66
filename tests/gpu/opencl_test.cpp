// The fused form's GPU schedule: every layer that CMakeLists.txt lists, as an OpenCL kernel, against the reference.
#include <cmath>
#include <cstdlib>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "HalideRuntime.h"
#include "HalideRuntimeOpenCL.h"
#include "fused_layer.h"
#include "gtest/gtest.h"
#include "reference.h"
#include "sepconv/sepconv.h"

extern "C" {
#define SEPCONV_GPU_LAYER(function, ...) \
    int function(halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *);
#include "gpu_layers.inc"
#undef SEPCONV_GPU_LAYER
}

namespace sepconv {
namespace {

using Function = int (*)(halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *);

struct GpuLayer {
    std::string name;
    Function function;
    std::int64_t batch, height, width, channels, filters;
    std::string params;
};
std::ostream &operator<<(std::ostream &out, const GpuLayer &layer) { return out << layer.params; }

const std::vector<GpuLayer> &layers() {
    static const std::vector<GpuLayer> list = {
#define SEPCONV_GPU_LAYER(function, batch, height, width, channels, filters, params) \
    {#function, &function, batch, height, width, channels, filters, params},
#include "gpu_layers.inc"
#undef SEPCONV_GPU_LAYER
    };
    return list;
}

std::string last_error;
void remember(void *, const char *message) { last_error = message; }

// A tensor on both sides; what the device holds is freed at the end.
class DeviceTensor {
public:
    DeviceTensor(std::int64_t count, const std::vector<std::int64_t> &extents) : values_(count), buffer_(values_.data(), extents) {
        buffer_.buffer.set_host_dirty();
    }
    ~DeviceTensor() { halide_device_free(nullptr, &buffer_.buffer); }
    DeviceTensor(const DeviceTensor &) = delete;
    DeviceTensor &operator=(const DeviceTensor &) = delete;

    void fill(std::mt19937 &random) {
        std::uniform_real_distribution<float> uniform(-1, 1);
        for (float &value : values_) value = uniform(random);
    }
    float *host() { return values_.data(); }
    halide_buffer_t *buffer() { return &buffer_.buffer; }

private:
    std::vector<float> values_;
    FloatBuffer buffer_;
};

std::int64_t count(const Shape &shape) { return shape[0] * shape[1] * shape[2] * shape[3]; }

class OpenCL : public testing::TestWithParam<GpuLayer> {
public:
    void SetUp() override { halide_set_error_handler(remember); }

    // The layer run on its device with random tensors, held against the reference.
    static void run(const GpuLayer &layer, std::int64_t batch) {
        const LayerConfig config = config_of(layer.params, layer.filters);
        const Shape shape = config.data_format == DataFormat::channels_first ? Shape{batch, layer.channels, layer.height, layer.width}
                                                                             : Shape{batch, layer.height, layer.width, layer.channels};
        const std::int64_t depthwise_channels = layer.channels * config.depth_multiplier;
        const Shape taps_shape = {config.kernel_size[0], config.kernel_size[1], layer.channels, config.depth_multiplier};
        const Shape matrix_shape = {1, 1, depthwise_channels, layer.filters}, found_shape = output_shape(config, shape);
        DeviceTensor input(count(shape), reversed(shape)), taps(count(taps_shape), reversed(taps_shape));
        DeviceTensor matrix(count(matrix_shape), {layer.filters, depthwise_channels}), bias(layer.filters, {layer.filters});
        DeviceTensor found(count(found_shape), reversed(found_shape));
        std::mt19937 random(7);
        for (DeviceTensor *tensor : {&input, &taps, &matrix, &bias}) tensor->fill(random);
        ASSERT_EQ(layer.function(input.buffer(), taps.buffer(), matrix.buffer(), bias.buffer(), found.buffer()), 0) << last_error;
        ASSERT_EQ(halide_copy_to_host(nullptr, found.buffer()), 0) << last_error;

        const Weights weights = {taps.host(),
                                 taps_shape,
                                 matrix.host(),
                                 matrix_shape,
                                 config.use_bias ? bias.host() : nullptr,
                                 config.use_bias ? layer.filters : 0};
        const std::vector<double> expected =
            reference::activated(reference::product(config, weights, input.host(), shape), config.activation).values;
        double largest = 0;
        for (const double value : expected) largest = std::max(largest, std::abs(value));
        for (std::size_t i = 0; i < expected.size(); i++) {
            ASSERT_NEAR(found.host()[i], expected[i], 1e-5 * largest) << "at " << i << " of " << expected.size();
        }
    }
};

TEST_P(OpenCL, EqualsTheReference) { run(GetParam(), GetParam().batch); }

TEST(EmptyBatch, GivesAnEmptyOutput) {
    for (const GpuLayer &layer : layers()) {
        if (layer.name != "opencl_last_middle" && layer.name != "opencl_first_open_softmax") continue;
        SCOPED_TRACE(layer.name);
        OpenCL::run(layer, 0);
    }
}

INSTANTIATE_TEST_SUITE_P(Layers, OpenCL, testing::ValuesIn(layers()), [](const auto &info) { return info.param.name; });

}  // namespace
}  // namespace sepconv
