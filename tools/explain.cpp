// sepconv explain: says which functions of the table of pipelines a layer takes for an input shape, and why.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <string_view>

#include "layer_options.h"
#include "sepconv/sepconv.h"
#include "subcommands.h"

namespace sepconv::tools {
namespace {

constexpr const char *example = R"(Example:
  echo '{"filters": 16, "kernel_size": 3, "padding": "same", "activation": "relu"}' > layer.json
  sepconv explain --config layer.json --input-shape 1,60,60,8)";

// The zeros that stand for weights, which decide nothing, take memory; far more than any real layer's are a mistake in the shape.
constexpr double most_weight_bytes = 1 << 30;

struct Options {
    LayerOptions layer;
    std::string input_shape;
    bool json = false;
};

Shape parse_shape(const std::string &text) {
    Shape shape = {};
    std::string_view rest = text;
    for (std::size_t i = 0; i < shape.size(); ++i) {
        const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), shape[i]);
        const std::string_view behind(end, static_cast<std::size_t>(rest.data() + rest.size() - end));
        const bool last = i + 1 == shape.size();
        if (error != std::errc() || shape[i] < 0 || (last ? !behind.empty() : !behind.starts_with(','))) {
            throw UsageError(
                fmt::format("--input-shape: expected four whole numbers such as 1,60,60,8, in the order of the layer's "
                            "data_format, found \"{}\"",
                            text));
        }
        rest = last ? behind : behind.substr(1);
    }
    return shape;
}

StoredWeights zeros(const LayerConfig &config, std::int64_t channels) {
    const auto &[height, width] = config.kernel_size;
    const double inner = static_cast<double>(channels) * static_cast<double>(config.depth_multiplier);
    const double bytes =
        (inner * static_cast<double>(height) * static_cast<double>(width) + (inner + 1) * static_cast<double>(config.filters)) *
        sizeof(float);
    if (bytes > most_weight_bytes) {
        throw ShapeError(fmt::format("{} channels: expected weights of at most {:.0f} MiB, found a layer whose weights have {:.0f}",
                                     channels, most_weight_bytes / (1 << 20), bytes / (1 << 20)));
    }
    const auto filled = [](std::vector<std::int64_t> shape) {
        std::size_t count = 1;
        for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
        return Array{std::move(shape), std::vector<float>(count)};
    };
    StoredWeights weights;
    weights.depthwise_kernel = filled({height, width, channels, config.depth_multiplier});
    weights.pointwise_kernel = filled({1, 1, channels * config.depth_multiplier, config.filters});
    if (config.use_bias) weights.bias = filled({config.filters});
    return weights;
}

std::string explanation(const Options &options) {
    require_option("--input-shape", options.input_shape, "four whole numbers such as 1,60,60,8");
    const Shape shape = parse_shape(options.input_shape);
    const std::string target = checked_target(options.layer.target);
    const NamedLayer named = read_layer(options.layer, false, read_options("explain"));
    try {
        output_shape(named.config, shape);
        const std::int64_t channels = shape[named.config.data_format == DataFormat::channels_first ? 1 : 3];
        const StoredWeights weights = named.weights ? *named.weights : zeros(named.config, channels);
        return Layer(named.config, weights.view(), target).explain(shape, options.json);
    } catch (const ShapeError &error) {
        throw ShapeError(fmt::format("--input-shape {}: {}", options.input_shape, error.what()));
    }
}

}  // namespace

void add_explain(CLI::App &program) {
    CLI::App *subcommand = program.add_subcommand("explain", "Say which precompiled functions a layer takes for an input shape, and why");
    const auto options = std::make_shared<Options>();
    add_layer_options(*subcommand, options->layer, false);
    subcommand
        ->add_option("--input-shape", options->input_shape,
                     "Required: the input's shape, N,H,W,C, or N,C,H,W where the layer's data_format is channels_first")
        ->type_name("N,H,W,C");
    subcommand->add_flag("--json", options->json, "Print JSON");
    subcommand->footer(example);
    subcommand->callback([options] { std::fputs(explanation(*options).c_str(), stdout); });
}

}  // namespace sepconv::tools
