// Reads the layer and the target that the command line names.
#include "layer_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "subcommands.h"

namespace sepconv::tools {
namespace {

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
    std::string names = "host (the best that this CPU runs, or $SEPCONV_TARGET where it is set)";
    for (const Target &target : targets()) names += fmt::format(", {}", target.name);
    subcommand.add_option("--target", options.target, "The instruction set: " + names)->type_name("NAME")->capture_default_str();
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
    if (need_weights) layer.weights = read_weights_npz(options.weights, read);
    return layer;
}

std::string checked_target(const std::string &name) {
    if (name == "host") {
        default_target();
        return {};
    }
    std::string here = "host";
    bool built = false;
    for (const Target &target : targets()) {
        if (target.name == name && target.runs_here) return name;
        built = built || target.name == name;
        if (target.runs_here) here += ", " + target.name;
    }
    throw UsageError(fmt::format("--target: expected one of {}, found \"{}\"{}", here, name, built ? ", which this CPU does not run" : ""));
}

void require_option(const char *option, const std::string &value, const char *what) {
    if (value.empty()) throw UsageError(fmt::format("{}: expected {}, found none", option, what));
}

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
