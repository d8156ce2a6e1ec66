// What the tests of the device layer share: a layer that CMakeLists.txt compiled, its tensors in a device's memory, and one call of it.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "HalideRuntime.h"
#include "fused_layer.h"
#include "gpu/calls.h"
#include "gpu/device.h"
#include "sepconv/sepconv.h"

namespace sepconv::gpu {

using Function = int (*)(const void *user_context, halide_buffer_t *input, halide_buffer_t *taps, halide_buffer_t *matrix,
                         halide_buffer_t *bias, halide_buffer_t *output);

struct GpuLayer {
    std::string name;
    Function function;
    std::int64_t batch, height, width, channels, filters;
    std::string params;
};

inline std::int64_t count(const Shape &shape) { return shape[0] * shape[1] * shape[2] * shape[3]; }

/// Values on the host, and memory for as many on a device.
class DeviceTensor {
public:
    DeviceTensor(Device &device, std::int64_t count, const std::vector<std::int64_t> &extents)
        : device_(device), values_(count), buffer_(nullptr, extents) {
        buffer_.buffer.device = device.allocate(bytes());
    }
    ~DeviceTensor() { device_.free(buffer_.buffer.device); }
    DeviceTensor(const DeviceTensor &) = delete;
    DeviceTensor &operator=(const DeviceTensor &) = delete;

    void fill(std::mt19937 &random) {
        std::uniform_real_distribution<float> uniform(-1, 1);
        for (float &value : values_) value = uniform(random);
    }
    void upload(Stream stream) { device_.upload(memory(), values_.data(), bytes(), stream); }
    void download(Stream stream) { device_.download(values_.data(), memory(), bytes(), stream); }

    const std::vector<float> &values() const { return values_; }
    halide_buffer_t *buffer() { return &buffer_.buffer; }
    Memory memory() const { return buffer_.buffer.device; }

private:
    std::size_t bytes() const { return values_.size() * sizeof(float); }

    Device &device_;
    std::vector<float> values_;
    FloatBuffer buffer_;
};

/// A layer with random weights and input, all of it in a device's memory.
class LayerOnDevice {
public:
    LayerOnDevice(Device &device, const GpuLayer &layer, Stream stream = {}, unsigned seed = 7)
        : config(config_of(layer.params, layer.filters)),
          shape(config.data_format == DataFormat::channels_first ? Shape{layer.batch, layer.channels, layer.height, layer.width}
                                                                 : Shape{layer.batch, layer.height, layer.width, layer.channels}),
          taps_shape{config.kernel_size[0], config.kernel_size[1], layer.channels, config.depth_multiplier},
          matrix_shape{1, 1, layer.channels * config.depth_multiplier, layer.filters},
          input(device, count(shape), reversed(shape)),
          taps(device, count(taps_shape), reversed(taps_shape)),
          matrix(device, count(matrix_shape), {layer.filters, matrix_shape[2]}),
          bias(device, layer.filters, {layer.filters}),
          output(device, count(output_shape(config, shape)), reversed(output_shape(config, shape))),
          device_(device),
          function_(layer.function),
          stream_(stream) {
        std::mt19937 random(seed);
        for (DeviceTensor *tensor : {&input, &taps, &matrix, &bias}) {
            tensor->fill(random);
            tensor->upload(stream);
        }
    }

    /// @throws what the device layer reports
    void run() {
        GpuCall call{&device_, stream_, "", 0};
        function_(&call, input.buffer(), taps.buffer(), matrix.buffer(), bias.buffer(), output.buffer());
        call.check();
    }

    const std::vector<float> &result() {
        output.download(stream_);
        device_.synchronize(stream_);
        return output.values();
    }

    Weights weights() const {
        return {taps.values().data(),
                taps_shape,
                matrix.values().data(),
                matrix_shape,
                config.use_bias ? bias.values().data() : nullptr,
                config.use_bias ? static_cast<std::int64_t>(bias.values().size()) : 0};
    }

    const LayerConfig config;
    const Shape shape, taps_shape, matrix_shape;
    DeviceTensor input, taps, matrix, bias, output;

private:
    Device &device_;
    const Function function_;
    const Stream stream_;
};

}  // namespace sepconv::gpu
