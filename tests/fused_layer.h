// What the tests of fused pipelines share: the layer that generator parameters describe, and its tensors as Halide takes them.
#pragma once

#include <cstdint>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "HalideRuntime.h"
#include "sepconv/sepconv.h"

namespace sepconv {

/// An activation by the generators' name for it.
inline ActivationKind activation_kind(const std::string &generators_name) {
    if (generators_name == "hard_sigmoid_keras2") return ActivationKind::hard_sigmoid_keras2;
    if (generators_name == "gelu_approximate") return ActivationKind::gelu_approximate;
    int kind = 0;
    while (name(static_cast<ActivationKind>(kind)) != generators_name) kind++;
    return static_cast<ActivationKind>(kind);
}

/// The config that generator parameters stand for; the activation's own parameters are Keras' defaults where `a` is not given.
inline LayerConfig config_of(const std::string &text, std::int64_t filters) {
    std::map<std::string, std::string> params;
    std::istringstream words(text);
    for (std::string word; words >> word;) params[word.substr(0, word.find('='))] = word.substr(word.find('=') + 1);
    auto number = [&](const std::string &key, std::int64_t otherwise) { return params.count(key) ? std::stoll(params[key]) : otherwise; };
    auto real = [&](const std::string &key) { return params.count(key) ? std::stof(params[key]) : 0.0f; };
    LayerConfig config;
    config.filters = filters;
    config.kernel_size = {number("kernel_height", 3), number("kernel_width", 3)};
    config.strides = {number("stride_y", 1), number("stride_x", 1)};
    config.dilation_rate = {number("dilation_y", 1), number("dilation_x", 1)};
    config.depth_multiplier = number("depth_multiplier", 1);
    config.padding = params["padding"] == "same" ? Padding::same : Padding::valid;
    config.data_format = params["channels_first"] == "true" ? DataFormat::channels_first : DataFormat::channels_last;
    config.use_bias = params["use_bias"] != "false";
    if (params.count("activation")) config.activation = default_activation(activation_kind(params["activation"]));
    if (params.count("a")) config.activation.a = real("a"), config.activation.b = real("b"), config.activation.c = real("c");
    return config;
}

/// A float32 buffer over dense memory, the first extent innermost.
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

inline std::vector<std::int64_t> reversed(const Shape &shape) { return {shape[3], shape[2], shape[1], shape[0]}; }

}  // namespace sepconv
