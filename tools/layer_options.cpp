// Reads the layer and the target that the command line names.
#include "layer_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <string_view>

#include "subcommands.h"

namespace sepconv::tools {
namespace {

// The zeros that stand for weights, which decide nothing, take memory; far more than any real layer's are a mistake in the shape.
constexpr double most_weight_bytes = 1 << 30;

constexpr int most_threads = 1024;

// What the user gave of the options that name a layer.
std::string given(const LayerOptions &options) {
    std::string names;
    const std::pair<const char *, const std::string &> all[] = {{"--config", options.config},
                                                                {"--weights", options.weights},
                                                                {"--model", options.model},
                                                                {"--model-weights", options.model_weights},
                                                                {"--layer", options.layer}};
    for (const auto &[name, value] : all) {
        if (!value.empty()) names += fmt::format("{}{}", names.empty() ? "" : " ", name);
    }
    return names.empty() ? "none of them" : names;
}

std::string layer_names(const ModelFile &model) {
    std::string names;
    for (const ModelLayer &layer : model.layers()) names += fmt::format("{}{}", names.empty() ? "" : ", ", layer.name);
    return names.empty() ? "none" : names;
}

NamedLayer read_from_model(const LayerOptions &options, bool need_weights, const ReadOptions &read) {
    const ModelFile model(options.model, options.model_weights, read);
    if (options.layer.empty()) {
        throw UsageError(fmt::format("--layer: expected the name of a layer, found none; the separable convolutions in {}: {}",
                                     options.model, layer_names(model)));
    }
    const LayerConfig &config = model.config(options.layer);
    // A layer may be named in full or, where that is clear, by its own name; config() has found which one it is.
    const auto named =
        std::find_if(model.layers().begin(), model.layers().end(), [&](const ModelLayer &layer) { return &layer.config == &config; });
    const bool stored = named != model.layers().end() && named->input_channels > 0;
    NamedLayer layer{config, std::nullopt, options.model_weights.empty() ? options.model : options.model_weights};
    if (need_weights || stored) layer.weights = model.weights(options.layer);
    return layer;
}

}  // namespace

void add_layer_options(CLI::App &subcommand, LayerOptions &options, bool with_weights) {
    subcommand.add_option("--config", options.config, "What layer.get_config() returns, as JSON")->type_name("FILE");
    if (with_weights) {
        subcommand
            .add_option("--weights", options.weights, "The config's weights, an .npz with depthwise_kernel, pointwise_kernel and bias")
            ->type_name("FILE");
    }
    subcommand.add_option("--model", options.model, "A Keras model: .h5, .hdf5, .keras, or its config as .json")->type_name("FILE");
    subcommand.add_option("--model-weights", options.model_weights, "The .weights.h5 for a model whose config is a .json")
        ->type_name("FILE");
    subcommand.add_option("--layer", options.layer, "The name of the SeparableConv2D in the model")->type_name("NAME");
    subcommand
        .add_option("--arithmetic", options.arithmetic,
                    "What a layer of dtype float16 computes in; float16 needs a CPU and a target that do")
        ->type_name("float32|float16")
        ->capture_default_str();
    std::string names = "host";
    for (const Target &target : targets()) names += "|" + target.name;
    for (const char *gpu : {"cuda", "opencl", "vulkan"}) names += fmt::format("|{}", gpu);
    subcommand
        .add_option("--target", options.target,
                    "The instruction set, or a GPU; host is the best that this CPU runs, or $SEPCONV_TARGET where it is set")
        ->type_name(names)
        ->capture_default_str();
}

NamedLayer read_layer(const LayerOptions &options, bool need_weights, const ReadOptions &read) {
    const bool by_config = !options.config.empty(), by_model = !options.model.empty();
    const bool stray = by_config ? !options.model_weights.empty() || !options.layer.empty() : !options.weights.empty();
    const bool incomplete = by_config && need_weights && options.weights.empty();
    if (by_config == by_model || stray || incomplete) {
        throw UsageError(fmt::format("expected --config{}, or --model with --layer (and --model-weights where they are apart), found {}",
                                     need_weights ? " with --weights" : "", given(options)));
    }
    if (by_model) return read_from_model(options, need_weights, read);
    NamedLayer layer{read_config(options.config, read), std::nullopt, options.weights};
    ReadOptions read_weights = read;
    read_weights.dtype = layer.config.dtype;
    if (need_weights) layer.weights = read_weights_npz(options.weights, read_weights);
    return layer;
}

Arithmetic parse_arithmetic(const std::string &name) {
    if (name == "float32") return Arithmetic::float32;
    if (name == "float16") return Arithmetic::float16;
    throw UsageError(fmt::format("--arithmetic: expected float32 or float16, found \"{}\"", name));
}

std::string checked_target(const std::string &name, Arithmetic arithmetic) {
    if (name == "host") {
        default_target(arithmetic);
        return {};
    }
    std::string here = "host";
    bool built = false;
    for (const Target &target : targets()) {
        if (target.arithmetic != arithmetic) continue;
        if (target.name == name && target.runs_here) return name;
        built = built || target.name == name;
        if (target.runs_here) here += ", " + target.name;
    }
    std::string why;
    for (const Gpu &gpu : gpus()) {
        if (arithmetic != Arithmetic::float32) break;
        if (gpu.target == name && gpu.why_not.empty()) return name;
        if (gpu.target == name) why = fmt::format(": {}", gpu.why_not);
        if (gpu.why_not.empty()) here += ", " + gpu.target;
    }
    throw UsageError(
        fmt::format("--target: expected one of {}, found \"{}\"{}", here, name, built ? ", which this CPU does not run" : why));
}

void require_option(const char *option, const std::string &value, const char *what) {
    if (value.empty()) throw UsageError(fmt::format("{}: expected {}, found none", option, what));
}

void add_input_shape(CLI::App &subcommand, std::string &shape, const std::string &what) {
    subcommand.add_option("--input-shape", shape, what + ", N,H,W,C, or N,C,H,W where the layer's data_format is channels_first")
        ->type_name("N,H,W,C");
}

Shape parse_input_shape(const std::string &text) {
    require_option("--input-shape", text, "four whole numbers such as 1,60,60,8");
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

StoredWeights zero_weights(const LayerConfig &config, std::int64_t channels) {
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

int parse_number(const char *option, const std::string &text, int least, int most, const char *note) {
    int number = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size() && number >= least && number <= most) return number;
    throw UsageError(fmt::format("{}: expected a whole number from {}{} to {}, found \"{}\"", option, least, note, most, text));
}

int parse_threads(const std::string &text) { return parse_number("--threads", text, 0, most_threads, " (all that the machine has)"); }

ReadOptions read_options(const std::string &subcommand) {
    ReadOptions options;
    options.warn = [subcommand](const std::string &remark) {
        std::fputs(fmt::format("sepconv {}: note: {}\n", subcommand, remark).c_str(), stderr);
    };
    return options;
}

std::string words(const std::vector<std::int64_t> &shape) {
    return fmt::format("({}{})", fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
}

const char *dimensions(DataFormat format) { return format == DataFormat::channels_first ? "(N, C, H, W)" : "(N, H, W, C)"; }

}  // namespace sepconv::tools
