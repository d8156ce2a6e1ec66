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

/// Generator parameters as they stand on a command line.
inline std::map<std::string, std::string> params_of(const std::string &text) {
    std::map<std::string, std::string> params;
    std::istringstream words(text);
    for (std::string word; words >> word;) params[word.substr(0, word.find('='))] = word.substr(word.find('=') + 1);
    return params;
}

/// The config that generator parameters stand for; the activation's own parameters are Keras' defaults where `a` is not given.
inline LayerConfig config_of(const std::string &text, std::int64_t filters) {
    std::map<std::string, std::string> params = params_of(text);
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
    if (params.count("axes")) {
        std::istringstream axes(params["axes"]);
        config.activation.axes.clear();
        for (std::string axis; std::getline(axes, axis, ',');) config.activation.axes.push_back(std::stoi(axis));
    }
    if (params.count("a")) config.activation.a = real("a"), config.activation.b = real("b"), config.activation.c = real("c");
    return config;
}

/// A float32 buffer, the first extent innermost; where `apart`, with a gap after the last of every dimension.
struct FloatBuffer {
    std::vector<halide_dimension_t> dimensions;
    halide_buffer_t buffer = {};
    FloatBuffer(float *values, const std::vector<std::int64_t> &extents, bool apart = false) {
        std::int32_t stride = 1;
        for (const std::int64_t extent : extents) {
            dimensions.emplace_back(0, static_cast<std::int32_t>(extent), stride);
            stride *= static_cast<std::int32_t>(extent + (apart ? 1 + dimensions.size() : 0));
        }
        buffer.type = halide_type_t(halide_type_float, 32);
        buffer.dimensions = static_cast<int>(dimensions.size());
        buffer.dim = dimensions.data();
        use(values);
    }
    // From the first to the last.
    std::int64_t count() const {
        std::int64_t last = 0;
        for (const halide_dimension_t &dimension : dimensions) last += static_cast<std::int64_t>(dimension.extent - 1) * dimension.stride;
        return last + 1;
    }
    void use(float *values) { buffer.host = reinterpret_cast<std::uint8_t *>(values); }
    // Where the values lie, in the order of dense memory.
    std::vector<std::int64_t> places() const {
        std::vector<std::int64_t> all = {0};
        for (auto dimension = dimensions.rbegin(); dimension != dimensions.rend(); ++dimension) {
            std::vector<std::int64_t> within;
            for (const std::int64_t outer : all) {
                for (std::int32_t i = 0; i < dimension->extent; i++) within.push_back(outer + std::int64_t(i) * dimension->stride);
            }
            all = within;
        }
        return all;
    }
};

inline std::vector<std::int64_t> reversed(const Shape &shape) { return {shape[3], shape[2], shape[1], shape[0]}; }

}  // namespace sepconv
