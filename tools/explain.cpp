// sepconv explain: says which functions of the table of pipelines a layer takes for an input shape, and why.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "layer_options.h"
#include "sepconv/sepconv.h"
#include "subcommands.h"

namespace sepconv::tools {
namespace {

constexpr const char *example = R"(Example:
  echo '{"filters": 16, "kernel_size": 3, "padding": "same", "activation": "relu"}' > layer.json
  sepconv explain --config layer.json --input-shape 1,60,60,8

On another machine, of whose caches this one's stand for those that are not known:
  sepconv explain --config layer.json --input-shape 1,60,60,8 --target arm-64-linux
  sepconv explain --config layer.json --input-shape 1,60,60,8 --target cuda)";

struct Options {
    LayerOptions layer;
    std::string input_shape;
    bool json = false;
};

// Whether a target is none of this library's own, and not the machine's.
bool is_elsewhere(const std::string &name) {
    const std::vector<Target> own = targets();
    if (name.find("sve") != std::string::npos) {
        throw UsageError(
            fmt::format("--target: expected a target without sve and sve2, found \"{}\": no function is built for them, "
                        "since Halide's code for vectors beyond 128 bits stores wrong values; NEON's run there",
                        name));
    }
    // A GPU's functions are chosen here whether there is one or not.
    return name != "host" && std::none_of(own.begin(), own.end(), [&](const Target &target) { return target.name == name; });
}

std::string explanation(const Options &options) {
    const Shape shape = parse_input_shape(options.input_shape);
    const Arithmetic arithmetic = parse_arithmetic(options.layer.arithmetic);
    const bool elsewhere = is_elsewhere(options.layer.target);
    const std::string target = elsewhere ? options.layer.target : checked_target(options.layer.target, arithmetic);
    const NamedLayer named = read_layer(options.layer, false, read_options("explain"));
    try {
        output_shape(named.config, shape);
        if (elsewhere) return explain_for(target, named.config, shape, arithmetic, options.json);
        const std::int64_t channels = shape[named.config.data_format == DataFormat::channels_first ? 1 : 3];
        const StoredWeights weights = named.weights ? *named.weights : zero_weights(named.config, channels);
        return Layer(named.config, weights.view(), target, arithmetic).explain(shape, options.json);
    } catch (const TargetError &error) {
        throw UsageError(fmt::format("--{}", error.what()));
    } catch (const ShapeError &error) {
        throw ShapeError(fmt::format("--input-shape {}: {}", options.input_shape, error.what()));
    }
}

}  // namespace

void add_explain(CLI::App &program) {
    CLI::App *subcommand = program.add_subcommand("explain", "Say which precompiled functions a layer takes for an input shape, and why");
    const auto options = std::make_shared<Options>();
    add_layer_options(*subcommand, options->layer, false);
    add_input_shape(*subcommand, options->input_shape, "Required: the input's shape");
    subcommand->add_flag("--json", options->json, "Print JSON");
    subcommand->footer(example);
    subcommand->callback([options] { std::fputs(explanation(*options).c_str(), stdout); });
}

}  // namespace sepconv::tools
