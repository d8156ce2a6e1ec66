// The layers of layers.json compiled for their shape: what sepconv_bench_fused and other programs that compare them link.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "HalideRuntime.h"

namespace sepconv::bench {

/// One layer compiled for its shape, `same` padding, bias and relu. The functions are those of the generators separable_conv2d and
/// separable_conv2d_packing, whose arguments generators/separable_conv2d.cpp documents.
struct CompiledLayer {
    std::string name, target;
    bool channels_first;
    int threads;  ///< that its tiles are cut for; more than one uses Halide's thread pool
    int (*function)(halide_buffer_t *input, halide_buffer_t *taps, halide_buffer_t *panels, halide_buffer_t *bias, halide_buffer_t *output);
    int (*packing)(halide_buffer_t *depthwise_kernel, halide_buffer_t *pointwise_kernel, halide_buffer_t *bias, halide_buffer_t *taps,
                   halide_buffer_t *panels, halide_buffer_t *padded_bias);
};

/// Every layer for every target and number of threads that was compiled.
const std::vector<CompiledLayer> &compiled_layers();

/// A dense float32 buffer, the first extent innermost.
class DenseBuffer {
public:
    DenseBuffer(const float *values, const std::vector<std::int64_t> &extents);
    halide_buffer_t *get();
    std::int64_t count() const;
    void use(float *values) { buffer_.host = reinterpret_cast<std::uint8_t *>(values); }

private:
    std::vector<halide_dimension_t> dimensions_;
    halide_buffer_t buffer_ = {};
};

/// Keras' weights in the order that one compiled layer reads them.
class PackedLayer {
public:
    /// @param depthwise  (kernel, kernel, channels, multiplier)   @param pointwise  (channels·multiplier, filters)
    /// @throws std::runtime_error  if the packing function fails
    PackedLayer(const CompiledLayer &layer, const float *depthwise, const float *pointwise, const float *bias, std::int64_t kernel,
                std::int64_t channels, std::int64_t multiplier, std::int64_t filters);
    /// input (batch, height, width, channels), output (batch, pixels, filters), or for channels_first (batch, channels, height, width) and
    /// (batch, filters, pixels).
    int run(const float *input, float *output, std::int64_t height, std::int64_t width, std::int64_t pixels, std::int64_t batch);

private:
    const CompiledLayer *layer_;
    std::int64_t channels_, filters_;
    DenseBuffer taps_, panels_, bias_;
    std::vector<float> values_[3];
};

}  // namespace sepconv::bench
