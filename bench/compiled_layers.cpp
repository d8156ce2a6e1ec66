// The table of compiled layers that bench/CMakeLists.txt writes, and how one is called.
#include <stdexcept>

#include "fused.h"

extern "C" {
#define SEPCONV_COMPILED(symbol, ...)                                                                          \
    int symbol(halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *); \
    int symbol##_packing(halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *);
#include "compiled_layers.inc"
#undef SEPCONV_COMPILED
}

namespace sepconv::bench {

const std::vector<CompiledLayer> &compiled_layers() {
    static const std::vector<CompiledLayer> layers = {
#define SEPCONV_COMPILED(symbol, name, target, channels_first, threads) {name, target, channels_first, threads, symbol, symbol##_packing},
#include "compiled_layers.inc"
#undef SEPCONV_COMPILED
    };
    return layers;
}

DenseBuffer::DenseBuffer(const float *values, const std::vector<std::int64_t> &extents) {
    std::int64_t stride = 1;
    for (const std::int64_t extent : extents) {
        dimensions_.emplace_back(0, static_cast<std::int32_t>(extent), static_cast<std::int32_t>(stride));
        stride *= extent;
    }
    use(const_cast<float *>(values));
    buffer_.type = halide_type_t(halide_type_float, 32);
    buffer_.dimensions = static_cast<int>(dimensions_.size());
}

halide_buffer_t *DenseBuffer::get() {
    buffer_.dim = dimensions_.data();
    return &buffer_;
}

std::int64_t DenseBuffer::count() const {
    std::int64_t product = 1;
    for (const halide_dimension_t &dimension : dimensions_) product *= dimension.extent;
    return product;
}

PackedLayer::PackedLayer(const CompiledLayer &layer, const float *depthwise, const float *pointwise, const float *bias, std::int64_t kernel,
                         std::int64_t channels, std::int64_t multiplier, std::int64_t filters)
    : layer_(&layer), channels_(channels), filters_(filters), taps_(nullptr, {0, 0, 0, 0}), panels_(nullptr, {0, 0}), bias_(nullptr, {0}) {
    DenseBuffer window(depthwise, {multiplier, channels, kernel, kernel}), matrix(pointwise, {filters, channels * multiplier});
    DenseBuffer biases(bias, {filters});
    auto pack = [&] {
        if (layer.packing(window.get(), matrix.get(), biases.get(), taps_.get(), panels_.get(), bias_.get()) != 0) {
            throw std::runtime_error(layer.name + ": packing failed");
        }
    };
    pack();  // without memory: asks for the extents
    DenseBuffer *const packed[] = {&taps_, &panels_, &bias_};
    for (int i = 0; i < 3; i++) {
        // The query leaves the dense extents and strides in place.
        values_[i].resize(packed[i]->count());
        packed[i]->use(values_[i].data());
    }
    pack();
}

int PackedLayer::run(const float *input, float *output, std::int64_t height, std::int64_t width, std::int64_t pixels, std::int64_t batch) {
    const bool first = layer_->channels_first;
    using Extents = std::vector<std::int64_t>;
    DenseBuffer in(input, first ? Extents{width, height, channels_, batch} : Extents{channels_, width, height, batch});
    DenseBuffer out(output, first ? Extents{pixels, filters_, batch} : Extents{filters_, pixels, batch});
    return layer_->function(in.get(), taps_.get(), panels_.get(), bias_.get(), out.get());
}

}  // namespace sepconv::bench
