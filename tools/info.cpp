// sepconv info: this CPU, the targets and pipelines that are built in, and the separable convolutions in a model file.
#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "layer_options.h"
#include "sepconv/io.h"
#include "sepconv/sepconv.h"
#include "subcommands.h"

namespace sepconv::tools {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char *example = R"(Example:
  sepconv info

A model's layers:
  sepconv info --model model.keras)";

struct Options {
    std::string model, model_weights;
    bool json = false;
};

// As the system calls it; where it has no such name (as on ARM), the architecture.
std::string cpu_name() {
    std::ifstream cpus("/proc/cpuinfo");
    for (std::string line; std::getline(cpus, line);) {
        const std::size_t value = line.find(": ");
        if (line.starts_with("model name") && value != std::string::npos) return line.substr(value + 2);
    }
    utsname system = {};
    return uname(&system) == 0 ? system.machine : "unknown";
}

unsigned threads() { return std::max(1U, std::thread::hardware_concurrency()); }

// None where no target that is built in runs on this CPU.
std::optional<std::string> usual_target() {
    const std::vector<Target> all = targets();
    if (std::none_of(all.begin(), all.end(), [](const Target &target) { return target.runs_here; })) return std::nullopt;
    return default_target();
}

using NamedShape = std::pair<const char *, std::vector<std::int64_t>>;

// The shapes that reading the file has checked the weights to have.
std::vector<NamedShape> weight_shapes(const ModelLayer &layer) {
    const LayerConfig &config = layer.config;
    const auto &[height, width] = config.kernel_size;
    if (layer.input_channels == 0) return {};
    std::vector<NamedShape> shapes = {{"depthwise_kernel", {height, width, layer.input_channels, config.depth_multiplier}},
                                      {"pointwise_kernel", {1, 1, layer.input_channels * config.depth_multiplier, config.filters}}};
    if (config.use_bias) shapes.push_back({"bias", {config.filters}});
    return shapes;
}

// null for an extent that the model leaves open; null for the whole where it is not known.
Json shape_json(const InferredShape &inferred) {
    if (!inferred.reason.empty()) return nullptr;
    Json shape = Json::array();
    for (const std::int64_t extent : inferred.shape) shape.push_back(extent < 0 ? Json(nullptr) : Json(extent));
    return shape;
}

std::string shape_words(const InferredShape &inferred) {
    if (!inferred.reason.empty()) return "not known: " + inferred.reason;
    std::vector<std::string> extents;
    extents.reserve(inferred.shape.size());
    for (const std::int64_t extent : inferred.shape) extents.push_back(extent < 0 ? "?" : fmt::format("{}", extent));
    return fmt::format("({})", fmt::join(extents, ", "));
}

Json model_json(const std::string &file, const ModelFile &model) {
    Json layers = Json::array();
    const std::vector<InferredShape> shapes = model.input_shapes();
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        const ModelLayer &layer = model.layers()[i];
        Json weights = Json::object();
        for (const auto &[name, shape] : weight_shapes(layer)) weights[name] = shape;
        layers.push_back({{"name", layer.name},
                          {"input_shape", shape_json(shapes[i])},
                          {"input_shape_unknown", shapes[i].reason.empty() ? Json(nullptr) : Json(shapes[i].reason)},
                          {"input_channels", layer.input_channels == 0 ? Json(nullptr) : Json(layer.input_channels)},
                          {"weights", weights},
                          {"config", Json::parse(to_json(layer.config))}});
    }
    return {{"file", file}, {"format", model.format()}, {"layers", layers}};
}

Json machine_json() {
    const std::optional<std::string> usual = usual_target();
    Json all = {{"version", version()},
                {"cpu", {{"name", cpu_name()}, {"threads", threads()}}},
                {"default_target", usual ? Json(*usual) : Json(nullptr)},
                {"targets", Json::array()},
                {"gpus", Json::array()},
                {"pipelines", Json::array()}};
    for (const Target &target : targets()) {
        all["targets"].push_back({{"name", target.name},
                                  {"halide", target.halide},
                                  {"runs_here", target.runs_here},
                                  {"arithmetic", target.arithmetic == Arithmetic::float16 ? "float16" : "float32"}});
    }
    for (const Gpu &gpu : gpus()) {
        all["gpus"].push_back({{"target", gpu.target},
                               {"runs_here", gpu.why_not.empty()},
                               {"device", gpu.device.empty() ? Json(nullptr) : Json(gpu.device)},
                               {"why_not", gpu.why_not.empty() ? Json(nullptr) : Json(gpu.why_not)}});
    }
    for (const Pipeline &row : pipelines()) {
        all["pipelines"].push_back({{"name", row.name}, {"stage", row.stage}, {"target", row.target}, {"covers", row.covers}});
    }
    return all;
}

std::string machine_text() {
    const std::optional<std::string> usual = usual_target();
    std::string text =
        fmt::format("version    {}\ncpu        {}, {} thread{}\n", version(), cpu_name(), threads(), threads() == 1 ? "" : "s");
    const char *title = "targets";
    for (const Target &target : targets()) {
        text += fmt::format("{:<10} {:<9} {}{}{}\n", title, target.name, target.runs_here ? "runs here" : "does not run here",
                            target.name == usual ? ", taken where no other is asked for" : "",
                            target.arithmetic == Arithmetic::float16 ? ", for --arithmetic float16" : "");
        title = "";
    }
    for (const Gpu &gpu : gpus()) {
        text += fmt::format("{:<10} {:<9} {}\n", title, gpu.target,
                            gpu.why_not.empty() ? "runs on " + gpu.device : "does not run here: " + gpu.why_not);
        title = "";
    }
    return text;
}

// One line for each row of the table, with the targets that it is built for.
std::string pipelines_text() {
    struct Line {
        Pipeline row;
        std::string targets;
    };
    const std::vector<Pipeline> all = pipelines();
    std::vector<Line> lines;
    std::size_t name_width = 0, target_width = 0;
    for (const Pipeline &row : all) {
        const auto same = [&](const Line &line) { return line.row.name == row.name && line.row.covers == row.covers; };
        auto line = std::find_if(lines.begin(), lines.end(), same);
        if (line == lines.end()) line = lines.insert(line, {row, ""});
        line->targets += fmt::format("{}{}", line->targets.empty() ? "" : " ", row.target);
        name_width = std::max(name_width, row.name.size());
        target_width = std::max(target_width, line->targets.size());
    }
    std::string text = fmt::format("pipelines  {} functions in {} rows\n\n{:<10} {:<{}}  {:<{}}  covers\n", all.size(), lines.size(),
                                   "stage", "row", name_width, "targets", target_width);
    for (const Line &line : lines) {
        text += fmt::format("{:<10} {:<{}}  {:<{}}  {}\n", line.row.stage, line.row.name, name_width, line.targets, target_width,
                            line.row.covers);
    }
    return text;
}

std::string model_text(const std::string &file, const ModelFile &model) {
    std::string text =
        fmt::format("model      {}\nformat     {}\nlayers     {} SeparableConv2D\n", file, model.format(), model.layers().size());
    const std::vector<InferredShape> shapes = model.input_shapes();
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        const ModelLayer &layer = model.layers()[i];
        LayerConfig computed = layer.config;
        computed.training.clear();  // long, and changes nothing of what is computed
        text +=
            fmt::format("\n{}\n  config            {}\n  input shape       {}\n", layer.name, to_json(computed), shape_words(shapes[i]));
        if (layer.input_channels == 0) {
            text += "  weights           none in the file\n";
            continue;
        }
        text += fmt::format("  input channels    {}\n", layer.input_channels);
        for (const auto &[name, shape] : weight_shapes(layer)) text += fmt::format("  {:<17} {}\n", name, words(shape));
    }
    return text;
}

std::string information(const Options &options) {
    if (options.model.empty() && !options.model_weights.empty()) {
        throw UsageError("--model-weights: expected --model with the model's config as JSON beside it, found none");
    }
    std::optional<ModelFile> model;
    if (!options.model.empty()) model.emplace(options.model, options.model_weights, read_options("info"));
    if (options.json) {
        Json all = machine_json();
        if (model) all["model"] = model_json(options.model, *model);
        // A file's name need not be UTF-8.
        return all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
    }
    return machine_text() + (model ? model_text(options.model, *model) : pipelines_text());
}

}  // namespace

void add_info(CLI::App &program) {
    CLI::App *subcommand = program.add_subcommand("info", "Show this CPU, the targets and pipelines built in, or the layers in a model");
    const auto options = std::make_shared<Options>();
    subcommand
        ->add_option("--model", options->model,
                     "A Keras model (.h5, .hdf5, .keras, or its config as .json) whose layers to show, in place of the pipelines")
        ->type_name("FILE");
    subcommand->add_option("--model-weights", options->model_weights, "The .weights.h5 for a model whose config is a .json")
        ->type_name("FILE");
    subcommand->add_flag("--json", options->json, "Print JSON, the pipelines always among it");
    subcommand->footer(example);
    subcommand->callback([options] { std::fputs(information(*options).c_str(), stdout); });
}

}  // namespace sepconv::tools
