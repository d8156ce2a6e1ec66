// The distribution of random layers: mostly what people train, and enough of everything else that is legal.
#include "random_layer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace sepconv::testing_layers {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

constexpr int kinds = static_cast<int>(ActivationKind::glu) + 1;

Activation random_activation(Random &random, const Draw &draw) {
    if (!draw.activations) return default_activation(random.chance(50) ? ActivationKind::linear : ActivationKind::relu);
    for (;;) {
        Activation activation = default_activation(static_cast<ActivationKind>(random.in(0, kinds - 1)));
        if (is_elementwise(activation.kind)) {
            if (activation.kind == ActivationKind::relu) {
                // Products reach 5 and round by 5e-7: below a maximum of 0.25 that alone would be 1e-5 of the largest output.
                activation.a = random.chance(50) ? infinity : random.real(0.25F, 2);
                activation.b = random.chance(50) ? 0 : random.real(-0.5F, 0.5F);
                activation.c = random.chance(50) ? 0 : random.real(-0.5F, 0.5F);
            } else if (activation.kind == ActivationKind::threshold) {
                activation.a = random.real(-1, 1);
                activation.b = random.real(-1, 1);
            } else if (activation.a != 0 && random.chance(50)) {
                activation.a = random.real(0.1F, 2);
            }
            return activation;
        }
        if (!draw.along_axes) continue;
        if (random.chance(40)) activation.axes = {static_cast<int>(random.in(-4, 3))};
        if (activation.kind == ActivationKind::softmax && random.chance(20)) activation.axes = {1, 2};
        return activation;
    }
}

LayerConfig random_config(Random &random, const Draw &draw) {
    LayerConfig config;
    config.data_format = random.chance(50) ? DataFormat::channels_first : DataFormat::channels_last;
    config.padding = random.chance(60) ? Padding::same : Padding::valid;
    config.use_bias = random.chance(60);
    config.filters = random.chance(75) ? random.in(1, 48) : random.in(1, 200);
    config.depth_multiplier = random.chance(65) ? 1 : random.in(1, 5);
    const std::int64_t shape_of_kernel = random.in(0, 9);
    if (shape_of_kernel < 4) {
        config.kernel_size = {3, 3};
    } else if (shape_of_kernel < 6) {
        config.kernel_size = {5, 5};
    } else if (shape_of_kernel < 9) {
        config.kernel_size = {random.in(1, 8), random.in(1, 8)};
    } else {
        config.kernel_size = {random.in(1, 17), random.in(1, 17)};
    }
    switch (random.in(0, 5)) {
        case 0:
            config.strides = {2, 2};
            break;
        case 1:
            config.strides = {random.in(1, 5), random.in(1, 5)};
            break;
        case 2:
            config.dilation_rate = {random.in(1, 4), random.in(1, 4)};
            break;
        case 3:
            config.dilation_rate = {random.in(1, 50), random.in(1, 50)};  // most taps, or all but one, beside the image
            break;
        default:
            break;
    }
    config.activation = random_activation(random, draw);
    return config;
}

std::uint64_t environment(const char *name, std::uint64_t otherwise) {
    const char *const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): tests set no variables while they run
    return value != nullptr && *value != '\0' ? std::strtoull(value, nullptr, 10) : otherwise;
}

}  // namespace

std::vector<float> Random::reals(std::int64_t count, float largest) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float &value : values) value = real(-largest, largest);
    return values;
}

Weights RandomLayer::weights() const {
    Weights weights;
    weights.depthwise_kernel = depthwise_kernel.data();
    weights.depthwise_shape = {config.kernel_size[0], config.kernel_size[1], channels(), config.depth_multiplier};
    weights.pointwise_kernel = pointwise_kernel.data();
    weights.pointwise_shape = {1, 1, channels() * config.depth_multiplier, config.filters};
    if (config.use_bias) {
        weights.bias = bias.data();
        weights.bias_size = config.filters;
    }
    return weights;
}

std::int64_t RandomLayer::channels() const { return input[config.data_format == DataFormat::channels_first ? 1 : 3]; }

std::vector<float> RandomLayer::run(const Layer &layer, const Execution &how) const {
    std::vector<float> values(static_cast<std::size_t>(output[0] * output[1] * output[2] * output[3]),
                              std::numeric_limits<float>::quiet_NaN());
    layer.run({image.data(), input}, {values.data(), output}, how);
    return values;
}

std::vector<float16> RandomLayer::run_float16(const Layer &layer, const Execution &how) const {
    std::vector<float16> values(static_cast<std::size_t>(output[0] * output[1] * output[2] * output[3]),
                                float16(std::numeric_limits<float>::quiet_NaN()));
    std::vector<float16> from(image.size());
    std::transform(image.begin(), image.end(), from.begin(), [](float value) { return float16(value); });
    layer.run({from.data(), input}, {values.data(), output}, how);
    return values;
}

RandomLayer in_float16(RandomLayer layer) {
    layer.config.dtype = Dtype::float16;
    for (std::vector<float> *values : {&layer.image, &layer.depthwise_kernel, &layer.pointwise_kernel, &layer.bias}) {
        for (float &value : *values) value = static_cast<float>(float16(value));
    }
    return layer;
}

RandomLayer filled(const LayerConfig &config, std::int64_t batch, std::int64_t height, std::int64_t width, std::int64_t channels,
                   std::uint64_t seed) {
    RandomLayer layer;
    layer.config = config;
    layer.input =
        config.data_format == DataFormat::channels_first ? Shape{batch, channels, height, width} : Shape{batch, height, width, channels};
    layer.output = output_shape(config, layer.input);
    Random random(seed);
    const std::int64_t window = config.kernel_size[0] * config.kernel_size[1], depthwise_channels = channels * config.depth_multiplier;
    // Scaled so that sums stay near 1 and no activation saturates everywhere.
    layer.image = random.reals(batch * height * width * channels, 1.5F);
    layer.depthwise_kernel = random.reals(window * depthwise_channels, 2 / std::sqrt(static_cast<float>(window)));
    layer.pointwise_kernel = random.reals(depthwise_channels * config.filters, 2 / std::sqrt(static_cast<float>(depthwise_channels)));
    layer.bias = random.reals(config.filters, 1);
    return layer;
}

RandomLayer random_layer(std::uint64_t seed, const Draw &draw) {
    Random random(seed);
    for (;;) {
        const LayerConfig config = random_config(random, draw);
        const std::int64_t channels = random.chance(75) ? random.in(1, 40) : random.in(1, 150);
        const std::int64_t batch = random.in(1, 3), height = random.in(1, 30);
        const std::int64_t width = random.chance(75) ? random.in(1, 30) : random.in(1, 150);
        const bool first = config.data_format == DataFormat::channels_first;
        const Shape input = first ? Shape{batch, channels, height, width} : Shape{batch, height, width, channels};
        Shape output;
        try {
            output = output_shape(config, input);
        } catch (const ShapeError &) {  // a valid window larger than the image, an odd axis of glu
            continue;
        }
        const std::int64_t pixels = batch * output[first ? 2 : 1] * output[first ? 3 : 2];
        const std::int64_t per_pixel =
            channels * config.depth_multiplier * (config.filters + config.kernel_size[0] * config.kernel_size[1]);
        if (pixels * per_pixel > draw.work) continue;
        return filled(config, batch, height, width, channels, seed);
    }
}

std::vector<Activation> all_activations() {
    std::vector<Activation> list;
    for (int kind = 0; kind < kinds; kind++) {
        Activation activation = default_activation(static_cast<ActivationKind>(kind));
        if (activation.kind == ActivationKind::threshold) activation.a = 0.1F, activation.b = -0.7F;
        list.push_back(activation);
        if (activation.kind == ActivationKind::relu) {
            list.push_back({activation.kind, 1.5F, 0, 0, {-1}});
            list.push_back({activation.kind, infinity, 0.25F, 0, {-1}});
            list.push_back({activation.kind, 1, 0.25F, 0.125F, {-1}});
        } else if (is_elementwise(activation.kind) && activation.a != 0) {
            activation.a *= 0.7F;
            list.push_back(activation);
        } else if (!is_elementwise(activation.kind)) {
            for (const int axis : {0, 1, 2}) {
                activation.axes = {axis};
                list.push_back(activation);
            }
            activation.axes = {-3, 3};
            if (activation.kind == ActivationKind::softmax) list.push_back(activation);
        }
    }
    return list;
}

std::uint64_t base_seed() {
    static const std::uint64_t seed = environment("SEPCONV_SEED", std::random_device{}());
    return seed;
}

int case_count(int usual) { return static_cast<int>(environment("SEPCONV_CASES", static_cast<std::uint64_t>(usual))); }

std::string describe(const RandomLayer &layer, std::uint64_t seed) {
    return fmt::format("input {}, {}\nthis case alone: SEPCONV_SEED={} SEPCONV_CASES=1", layer.input, to_json(layer.config), seed);
}

std::vector<std::string> targets_here(Arithmetic arithmetic) {
    std::vector<std::string> names;
    for (const Target &target : targets()) {
        if (target.runs_here && target.arithmetic == arithmetic) names.push_back(target.name);
    }
    return names;
}

}  // namespace sepconv::testing_layers
