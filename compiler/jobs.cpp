// Reads what the command line names, and compiles one layer.
#include "jobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <thread>

#include "cache.h"
#include "digest.h"
#include "library.h"
#include "package.h"
#include "pipeline.h"
#include "sepconv/layer.h"
#include "tools/subcommands.h"

namespace sepconv::compiler {
namespace {

using tools::CompileOptions;
using tools::UsageError;

constexpr const char *separate = "separate";

// Words that C or C++ keeps for itself, and functions that the library calls.
const std::set<std::string> &taken_names() {
    static const std::set<std::string> names = {
        "alignas",  "alignof",   "and",          "and_eq",    "asm",           "auto",      "bitand",
        "bitor",    "bool",      "break",        "case",      "catch",         "char",      "class",
        "compl",    "concept",   "const",        "consteval", "constexpr",     "constinit", "continue",
        "co_await", "co_return", "co_yield",     "decltype",  "default",       "delete",    "do",
        "double",   "else",      "enum",         "explicit",  "export",        "extern",    "false",
        "float",    "for",       "free",         "friend",    "goto",          "if",        "inline",
        "int",      "long",      "main",         "malloc",    "mutable",       "namespace", "new",
        "noexcept", "not",       "not_eq",       "nullptr",   "operator",      "or",        "or_eq",
        "private",  "protected", "public",       "register",  "requires",      "restrict",  "return",
        "short",    "signed",    "sizeof",       "static",    "static_assert", "struct",    "switch",
        "template", "this",      "thread_local", "throw",     "true",          "try",       "typedef",
        "typeid",   "typename",  "union",        "unsigned",  "using",         "virtual",   "void",
        "volatile", "wchar_t",   "while",        "xor",       "xor_eq"};
    return names;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Whether a function may have the name, in C and in C++.
bool is_name(const std::string &name) {
    const bool spelt =
        !name.empty() && is_letter(name[0]) && std::all_of(name.begin(), name.end(), [](char c) { return is_letter(c) || is_digit(c); });
    const bool reserved = name.starts_with('_') || name.starts_with("halide_") || name.starts_with("sepconv_support_");
    return spelt && !reserved && taken_names().count(name) == 0;
}

void check_name(const char *option, const std::string &name) {
    constexpr std::size_t most = 200;  // file systems take 255 with what is added
    if (is_name(name) && name.size() <= most) return;
    throw UsageError(
        fmt::format("{}: expected a name that a C function may have (letters, digits and _, no keyword), found \"{}\"", option, name));
}

// A layer's name as a function may have it.
std::string function_name(const std::string &layer) {
    std::string name;
    for (const char c : layer) name += is_letter(c) || is_digit(c) ? c : '_';
    return is_name(name) ? name : "layer_" + name;
}

// Extents, of which those that are a ? are open.
std::vector<std::int64_t> parse_extents(const char *option, const std::string &text) {
    std::vector<std::int64_t> shape;
    bool right = true;
    for (std::size_t begin = 0; right && begin <= text.size();) {
        const std::size_t end = std::min(text.find(',', begin), text.size());
        const std::string word = text.substr(begin, end - begin);
        std::int64_t extent = open;
        if (word != "?") {
            const auto [behind, error] = std::from_chars(word.data(), word.data() + word.size(), extent);
            right = error == std::errc() && behind == word.data() + word.size() && extent > 0;
        }
        shape.push_back(extent);
        begin = end + 1;
    }
    if (right) return shape;
    throw UsageError(fmt::format("{}: expected extents such as 1,60,60,8 or ?,?,?,8, found \"{}\"", option, text));
}

std::array<std::int64_t, 4> parse_shape(const std::string &text) {
    const std::vector<std::int64_t> extents = parse_extents("--input-shape", text);
    std::array<std::int64_t, 4> shape = {};
    if (extents.size() != shape.size()) {
        throw UsageError(fmt::format("--input-shape: expected four extents such as 1,60,60,8 or ?,?,?,8, found \"{}\"", text));
    }
    std::copy(extents.begin(), extents.end(), shape.begin());
    return shape;
}

// --input-shape by layer; the one without a name has the key "".
std::map<std::string, std::array<std::int64_t, 4>> given_shapes(const CompileOptions &options) {
    std::map<std::string, std::array<std::int64_t, 4>> shapes;
    for (const std::string &text : options.input_shapes) {
        const std::size_t colon = text.rfind(':');
        const std::string layer = colon == std::string::npos ? "" : text.substr(0, colon);
        const auto shape = parse_shape(colon == std::string::npos ? text : text.substr(colon + 1));
        if (!shapes.emplace(layer, shape).second) {
            throw UsageError(fmt::format("--input-shape: expected one for each layer, found a second one for {}",
                                         layer.empty() ? "the layer" : "\"" + layer + "\""));
        }
    }
    return shapes;
}

// What all layers of a command have in common.
Request common(const CompileOptions &options) {
    constexpr int most_threads = 256;
    Request request;
    request.machines = parse_machines(options.target, options.force_target);
    static const std::map<std::string, std::string> schedules = {{"hand", ""},
                                                                 {"auto:adams2019", "Adams2019"},
                                                                 {"auto:li2018", "Li2018"},
                                                                 {"auto:mullapudi2016", "Mullapudi2016"},
                                                                 {"auto:anderson2021", "Anderson2021"}};
    const auto schedule = schedules.find(options.schedule);
    if (schedule == schedules.end()) {
        throw UsageError(
            fmt::format("--schedule: expected hand, auto:adams2019, auto:li2018, auto:mullapudi2016 or auto:anderson2021, found \"{}\"",
                        options.schedule));
    }
    request.schedule = schedule->second;
    if (options.arithmetic != name(Dtype::float32) && options.arithmetic != name(Dtype::float16)) {
        throw UsageError(fmt::format("--arithmetic: expected float32 or float16, found \"{}\"", options.arithmetic));
    }
    request.arithmetic = options.arithmetic == name(Dtype::float16) ? Dtype::float16 : Dtype::float32;
    static const std::map<std::string, Emit> kinds = {{"asm", Emit::assembly}, {"stmt", Emit::stmt},     {"stmt_html", Emit::stmt_html},
                                                      {"llvm", Emit::llvm},    {"object", Emit::object}, {"c", Emit::c}};
    for (const std::string &kind : options.emit) {
        const auto found = kinds.find(kind);
        if (found == kinds.end()) {
            throw UsageError(fmt::format("--emit: expected asm, stmt, stmt_html, llvm, object or c, found \"{}\"", kind));
        }
        request.emit.insert(found->second);
    }
    const bool host = options.target.starts_with("host") || options.target.find('-') == std::string::npos;
    constexpr int others = 4;
    request.tasks = host ? std::max(1, static_cast<int>(std::thread::hardware_concurrency())) : others;
    request.tasks = std::min(request.tasks, most_threads);
    if (!options.threads.empty()) request.tasks = tools::parse_number("--threads", options.threads, 1, most_threads);
    // WebAssembly's threads are its host's matter.
    const bool wasm = request.machines.front().target.arch == Halide::Target::WebAssembly;
    if (wasm && options.threads.empty() && options.parallel_for.empty()) request.tasks = 1;
    if (wasm && request.tasks > 1 && options.parallel_for.empty()) {
        throw UsageError("--threads: expected --parallel-for beside it for WebAssembly, which has no threads of its own, found none");
    }
    if (!options.parallel_for.empty()) {
        check_name("--parallel-for", options.parallel_for);
        request.threads = Threads::supplied;
        request.parallel_for = options.parallel_for;
    }
    if (options.no_threads || (request.tasks == 1 && options.parallel_for.empty())) {
        request.threads = Threads::none;
        request.tasks = 1;
    }
    return request;
}

void check_channels(const Request &request, const std::string &file, std::int64_t stored) {
    const std::int64_t channels = extents(request).channels;
    if (channels == open) throw UsageError("--input-shape: expected a number of channels, found an open one, which a layer cannot have");
    if (stored > 0 && channels != stored) {
        throw ShapeError(fmt::format("input: expected {} channels, as the weights in {} have, found {}", stored, file, channels));
    }
}

// The input shapes of a model's layers, as far as the command says or the model shows.
class InputShapes {
public:
    explicit InputShapes(const CompileOptions &options) : options_(options), given_(given_shapes(options)) {}

    /// Of the only layer that is compiled; `model` is null where it comes from a config.
    std::array<std::int64_t, 4> of_single(const std::string &layer, const ModelFile *model) {
        const auto plain = given_.find(""), named = given_.find(layer), asked = given_.find(options_.layer.layer);
        for (const auto found : {plain, named, asked}) {
            if (given_.size() == 1 && found != given_.end()) return found->second;
        }
        if (!given_.empty()) throw UsageError("--input-shape: expected one, without a name or with the layer's, found another");
        if (model == nullptr) throw UsageError("--input-shape: expected the shape of the layer's input, such as 1,60,60,8, found none");
        return inferred(layer, *model);
    }

    std::array<std::int64_t, 4> of_one_of_all(const std::string &layer, const ModelFile &model) {
        const auto named = given_.find(layer);
        if (named == given_.end()) return inferred(layer, model);
        used_.insert(layer);
        return named->second;
    }

    /// All that were given belong to layers.
    void check_used() const {
        for (const auto &[layer, shape] : given_) {
            if (layer.empty()) throw UsageError("--input-shape: expected NAME:N,H,W,C with --layer all, found one without a name");
            if (used_.count(layer) == 0) throw UsageError(fmt::format("--input-shape: expected the name of a layer, found \"{}\"", layer));
        }
    }

private:
    std::array<std::int64_t, 4> inferred(const std::string &layer, const ModelFile &model) {
        if (shapes_.empty()) {
            std::optional<std::vector<std::int64_t>> own;
            if (!options_.model_input_shape.empty()) own = parse_extents("--model-input-shape", options_.model_input_shape);
            shapes_ = model.input_shapes(own);
        }
        const auto found = std::find_if(shapes_.begin(), shapes_.end(), [&](const InferredShape &each) { return each.name == layer; });
        const bool known = found != shapes_.end() && found->shape.size() == 4;
        if (!known) {
            throw UsageError(
                fmt::format("--input-shape: expected the shape of the input of {}, which does not follow from the model, found none: {}",
                            layer, found == shapes_.end() ? "it is no layer of the model" : found->reason));
        }
        std::array<std::int64_t, 4> shape = {};
        std::copy(found->shape.begin(), found->shape.end(), shape.begin());
        // A model leaves its batch open as a matter of form; a function for one image is meant unless the command says otherwise.
        if (shape[0] == open && options_.model_input_shape.empty()) shape[0] = 1;
        return shape;
    }

    const CompileOptions &options_;
    std::map<std::string, std::array<std::int64_t, 4>> given_;
    std::set<std::string> used_;
    std::vector<InferredShape> shapes_;
};

// The layer of a config.
Job of_config(const CompileOptions &options, const Request &same) {
    const bool embedded = options.layer.weights != separate;
    tools::LayerOptions from = options.layer;
    if (!embedded) from.weights.clear();
    if (embedded && from.weights.empty()) {
        throw UsageError("--weights: expected an .npz with the config's weights, or \"separate\", found none");
    }
    if (!options.model_input_shape.empty()) throw UsageError("--model-input-shape: expected --model beside it, found --config");
    const tools::NamedLayer layer = tools::read_layer(from, embedded, tools::read_options("compile"));
    Job job{same, {}, layer.weights_file};
    job.request.config = layer.config;
    job.request.name = options.name.empty() ? function_name(layer.config.name) : options.name;
    job.request.input = InputShapes(options).of_single("", nullptr);
    // Weights of another rank are found out when the layer is compiled.
    const bool stored = layer.weights && layer.weights->depthwise_kernel.shape.size() == 4;
    check_channels(job.request, layer.weights_file, stored ? layer.weights->depthwise_kernel.shape[2] : 0);
    if (layer.weights) job.weights = [weights = *layer.weights] { return weights; };
    return job;
}

std::vector<Job> of_model(const CompileOptions &options, const Request &same) {
    const tools::LayerOptions &from = options.layer;
    const bool embedded = from.weights != separate, all = from.layer == "all";
    if (!from.weights.empty() && embedded)
        throw UsageError("--weights: expected \"separate\", or none, for a --model, which has its own; found a file");
    const auto model = std::make_shared<ModelFile>(from.model, from.model_weights, tools::read_options("compile"));
    const std::string file = from.model_weights.empty() ? from.model : from.model_weights;
    // A name may be the layer's own where that is clear; config() knows, and says which there are.
    const LayerConfig *only = all ? nullptr : &model->config(from.layer);
    InputShapes shapes(options);
    std::vector<Job> jobs;
    for (const ModelLayer &layer : model->layers()) {
        if (!all && &layer.config != only) continue;
        Job job{same, {}, file};
        job.request.config = layer.config;
        job.request.name = all ? options.name + (options.name.empty() ? "" : "_") + function_name(layer.name) : options.name;
        if (job.request.name.empty()) job.request.name = function_name(layer.config.name);
        job.request.input = all ? shapes.of_one_of_all(layer.name, *model) : shapes.of_single(layer.name, model.get());
        check_channels(job.request, file, layer.input_channels);
        if (embedded) job.weights = [model, name = layer.name] { return model->weights(name); };
        jobs.push_back(std::move(job));
    }
    if (all) shapes.check_used();
    if (jobs.empty()) throw UsageError(fmt::format("--layer: expected a model with separable convolutions, found none in {}", from.model));
    return jobs;
}

// Everything that a result follows from.
std::string key_of(const Request &request, const std::string &weights_digest) {
    Digest digest;
    digest.add("2");  // of this list; another one has another number
    digest.add(build_identity());
    digest.add(to_json(request.config));
    digest.add(request.name);
    for (const std::int64_t extent : request.input) digest.add(std::to_string(extent));
    digest.add(weights_digest);
    for (const Machine &machine : request.machines) digest.add(machine.target.to_string());
    digest.add(std::to_string(static_cast<int>(request.threads)));
    digest.add(std::to_string(request.tasks));
    digest.add(request.parallel_for);
    digest.add(request.schedule);
    digest.add(name(request.arithmetic));
    for (const Emit emit : request.emit) digest.add(std::to_string(static_cast<int>(emit)));
    return digest.finish();
}

// Whether they fit the config.
void check_weights(const Request &request, const StoredWeights &weights, const std::string &file) {
    try {
        const Layer layer(request.config, weights.view());
    } catch (const ShapeError &error) {
        throw ShapeError(fmt::format("{}: {}", file, error.what()));
    }
}

std::string digest_of_weights(const StoredWeights &weights) {
    Digest digest;
    for (const Array *array : {&weights.depthwise_kernel, &weights.pointwise_kernel, &weights.bias}) {
        digest.add(std::to_string(array->shape.size()));
        for (const std::int64_t extent : array->shape) digest.add(std::to_string(extent));
        digest.add(array->values.data(), array->values.size() * sizeof(float));
    }
    return digest.finish();
}

}  // namespace

std::vector<Job> make_jobs(const CompileOptions &options) {
    tools::require_option("--output", options.output, "a folder");
    const tools::LayerOptions &layer = options.layer;
    const bool by_config = !layer.config.empty(), by_model = !layer.model.empty();
    if (by_model && !by_config) tools::require_option("--layer", layer.layer, "the name of a layer in the model, or \"all\"");
    if (by_config == by_model || (by_config && (!layer.layer.empty() || !layer.model_weights.empty()))) {
        throw UsageError(
            "expected --config with --weights, or --model with --layer (and --model-weights where they are apart); found "
            "others of these, or not all");
    }
    if (!options.name.empty()) check_name("--name", options.name);
    const Request same = common(options);
    std::vector<Job> jobs = by_model ? of_model(options, same) : std::vector{of_config(options, same)};
    std::set<std::string> names;
    for (const Job &job : jobs) {
        std::string folded = job.request.name;
        std::transform(folded.begin(), folded.end(), folded.begin(), [](unsigned char c) { return std::tolower(c); });
        if (!names.insert(folded).second) {
            throw UsageError(
                fmt::format("--layer: expected names that differ in more than case and punctuation, found two layers that become {}; "
                            "compile them one by one with --name",
                            job.request.name));
        }
        check(job.request);
    }
    return jobs;
}

bool run_job(const Job &job, StoredWeights weights, const std::filesystem::path &work, const std::filesystem::path &cache_folder,
             const std::filesystem::path &output) {
    Request request = job.request;
    std::string weights_digest;
    if (job.weights) {
        check_weights(request, weights, job.weights_file);
        weights_digest = digest_of_weights(weights);
        request.weights = std::move(weights);
    }
    load_autoscheduler(request);  // which is then a part of the compiler that made the result
    const Cache cache(cache_folder);
    const std::string key = key_of(request, weights_digest);
    std::vector<std::string> files = cache.fetch(key, work);
    const bool cached = !files.empty();
    if (!cached) {
        Library library = compile(request, work);
        add_package(request, library, weights_digest, work);
        files = library.files;
        cache.store(key, work, files);
    }
    publish(files, work, output);
    return cached;
}

}  // namespace sepconv::compiler
