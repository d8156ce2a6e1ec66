// Keras model files in each of the forms that Keras 2 and Keras 3 write: which form it is, and where each layer's weights are in it.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <set>
#include <system_error>

#include "hdf5_file.h"
#include "message.h"
#include "model_config.h"
#include "model_shapes.h"
#include "sepconv/error.h"
#include "sepconv/io.h"
#include "zip_file.h"

namespace sepconv {

namespace fs = std::filesystem;

namespace {

using io::Allowance;
using io::ConfiguredLayer;
using io::Hdf5File;
using io::in_quotes;
using io::listed;
using io::shape_text;
using io::ZipFile;

// HDF5 looks for its signature at byte 0, and behind a user's block at 512, 1024, 2048 and so on.
constexpr std::size_t inspected_bytes = 2048 + 8;
// Weights of one top-level layer, which may be a whole model.
constexpr std::size_t most_weights = 100000;

using File = std::unique_ptr<std::FILE, int (*)(std::FILE *)>;

// The first `limit` bytes of a file, or all of it where it is shorter.
std::string first_bytes(const fs::path &file, std::size_t limit) {
    std::error_code error;
    const std::string name = file.string();
    if (fs::is_directory(file, error)) throw FileError(fmt::format("{}: expected a file, found a directory", name));
    const File opened(std::fopen(name.c_str(), "rb"), std::fclose);
    if (!opened) throw FileError(fmt::format("{}: cannot be opened: {}", name, std::generic_category().message(errno)));
    std::string bytes;
    constexpr std::size_t block = std::size_t(1) << 16;
    while (bytes.size() < limit) {
        const std::size_t done = bytes.size();
        const std::size_t wanted = std::min(block, limit - done);
        bytes.resize(done + wanted);
        const std::size_t got = std::fread(bytes.data() + done, 1, wanted, opened.get());
        bytes.resize(done + got);
        if (got < wanted) break;
    }
    if (std::ferror(opened.get()) != 0) {
        throw FileError(fmt::format("{}: cannot be read: {}", name, std::generic_category().message(errno)));
    }
    return bytes;
}

std::string config_text(const fs::path &file) {
    std::string text = first_bytes(file, io::most_config_bytes + 1);
    if (text.size() > io::most_config_bytes) {
        throw ConfigError(fmt::format("{}: expected JSON of at most {} bytes, found more", file.string(), io::most_config_bytes));
    }
    return text;
}

enum class Form { hdf5, zip, json };

Form form_of(const fs::path &file) {
    const std::string start = first_bytes(file, inspected_bytes);
    for (std::size_t at = 0; at < start.size(); at = at == 0 ? 512 : 2 * at) {
        if (Hdf5File::begins(std::string_view(start).substr(at))) return Form::hdf5;
    }
    if (start.starts_with("PK")) return Form::zip;
    const std::size_t text = start.find_first_not_of(" \t\r\n");
    if (text != std::string::npos && (start[text] == '{' || start[text] == '[')) return Form::json;
    throw FileError(fmt::format("{}: expected a Keras model (HDF5, a .keras zip, or a config as JSON), found {}", file.string(),
                                start.empty() ? "an empty file" : "a file that begins with " + in_quotes(start.substr(0, 24))));
}

// The datasets of one layer. Empty where the file has none for it.
struct WeightPaths {
    std::string depthwise_kernel;
    std::string pointwise_kernel;
    std::string bias;

    bool empty() const { return depthwise_kernel.empty(); }
};

// An attribute that holds a list of strings. Keras splits one of more than 64,512 bytes into NAME0, NAME1 and so on.
std::vector<std::string> string_list(const Hdf5File &file, const std::string &path, const std::string &name) {
    if (auto strings = file.strings(path, name)) return *strings;
    std::vector<std::string> all;
    for (int part = 0;; ++part) {
        const auto strings = file.strings(path, fmt::format("{}{}", name, part));
        if (!strings || all.size() > most_weights) return all;
        all.insert(all.end(), strings->begin(), strings->end());
    }
}

std::string joined(const std::string &folder, const std::string &name) { return folder.empty() ? name : folder + "/" + name; }

// The parts of a path or weight name between the slashes.
std::vector<std::string> parts_of(std::string_view path) {
    std::vector<std::string> parts;
    while (!path.empty()) {
        const std::size_t end = std::min(path.find('/'), path.size());
        if (end != 0) parts.emplace_back(path.substr(0, end));
        path.remove_prefix(std::min(end + 1, path.size()));
    }
    return parts;
}

// The form that Keras 2 began: a group for each layer of the outermost model, in it an attribute `weight_names` with the paths below.
class LayerGroups {
public:
    LayerGroups(const Hdf5File &file, std::string root) : file_(file), root_(std::move(root)) {}

    // Where the weights are of the separable convolutions in one top-level layer, in the model's order.
    std::vector<WeightPaths> find(const std::vector<const ConfiguredLayer *> &layers) const {
        std::vector<WeightPaths> found(layers.size());
        const std::string group = joined(root_, layers.front()->steps.front().name);
        if (!file_.has_group(group)) return found;
        const std::vector<std::string> names = string_list(file_, group, "weight_names");
        if (names.size() > most_weights) {
            throw FileError(fmt::format("{}: {}: expected at most {} weights, found {}", file_.name(), group, most_weights, names.size()));
        }
        if (names.empty()) return found;
        const std::vector<Candidate> candidates = candidates_in(group, names);

        // By name where the name tells; what is left, in order, where as many are left of both.
        std::vector<bool> taken(candidates.size(), false);
        std::vector<std::size_t> left;
        for (const std::size_t i : saved_order(layers)) {
            const std::optional<std::size_t> match = match_by_name(*layers[i], candidates, taken);
            if (match) {
                found[i] = candidates[*match].weights;
                taken[*match] = true;
            } else {
                left.push_back(i);
            }
        }
        std::vector<std::size_t> free;
        for (std::size_t i = 0; i < candidates.size(); ++i) {
            if (!taken[i]) free.push_back(i);
        }
        if (left.size() == free.size() || (layers.size() == 1 && candidates.size() == 1)) {
            for (std::size_t i = 0; i < left.size(); ++i) found[left[i]] = candidates[free[i]].weights;
        } else {
            missing(group, *layers[left.front()], names);
        }
        return found;
    }

private:
    struct Candidate {
        std::vector<std::string> parts;
        WeightPaths weights;
    };

    [[noreturn]] void missing(const std::string &group, const ConfiguredLayer &layer, const std::vector<std::string> &names) const {
        std::vector<std::string> leaves;
        const bool nested = layer.steps.size() > 1;
        for (const std::string &name : names) {
            std::vector<std::string> parts = parts_of(without_output(name));
            leaves.push_back(nested || parts.empty() ? name : parts.back());
        }
        throw FileError(fmt::format("{}: {} has no depthwise_kernel{} (found: {}); is {} a SeparableConv2D?", file_.name(), group,
                                    nested ? " for " + layer.full_name() : "", listed(leaves), layer.own_name()));
    }

    // Keras 2 appends TensorFlow's ":0".
    static std::string without_output(const std::string &name) { return name.substr(0, name.rfind(':')); }

    // What has both kernels, the depthwise one of rank 4; a DepthwiseConv2D has no pointwise kernel and a SeparableConv1D one of rank 3.
    std::vector<Candidate> candidates_in(const std::string &group, const std::vector<std::string> &names) const {
        std::vector<Candidate> all;
        std::map<std::string, std::size_t> by_parent;
        for (const std::string &name : names) {
            const std::string plain = without_output(name);
            const std::size_t slash = plain.rfind('/');
            const std::string parent = slash == std::string::npos ? "" : plain.substr(0, slash);
            const std::string leaf = slash == std::string::npos ? plain : plain.substr(slash + 1);
            if (leaf != "depthwise_kernel" && leaf != "pointwise_kernel" && leaf != "bias") continue;
            const auto [entry, added] = by_parent.emplace(parent, all.size());
            if (added) all.push_back({parts_of(parent), {}});
            WeightPaths &weights = all[entry->second].weights;
            (leaf == "bias"               ? weights.bias
             : leaf == "depthwise_kernel" ? weights.depthwise_kernel
                                          : weights.pointwise_kernel) = joined(group, name);
        }
        std::erase_if(all, [&](const Candidate &each) {
            return each.weights.depthwise_kernel.empty() || each.weights.pointwise_kernel.empty() ||
                   file_.shape(each.weights.depthwise_kernel).size() != 4;
        });
        return all;
    }

    // Keras saves the weights that train before those that do not.
    static std::vector<std::size_t> saved_order(const std::vector<const ConfiguredLayer *> &layers) {
        std::vector<std::size_t> order;
        for (const bool trainable : {true, false}) {
            for (std::size_t i = 0; i < layers.size(); ++i) {
                if (layers[i]->trainable == trainable) order.push_back(i);
            }
        }
        return order;
    }

    // The one candidate that ends in the layer's own name; of several, the one that has most of the names around it.
    static std::optional<std::size_t> match_by_name(const ConfiguredLayer &layer, const std::vector<Candidate> &candidates,
                                                    const std::vector<bool> &taken) {
        const std::vector<std::string> own = parts_of(layer.own_name());
        std::optional<std::size_t> best;
        std::size_t best_score = 0;
        bool tied = false;
        for (std::size_t i = 0; i < candidates.size(); ++i) {
            const std::vector<std::string> &parts = candidates[i].parts;
            if (taken[i] || parts.size() < own.size() || !std::equal(own.rbegin(), own.rend(), parts.rbegin())) continue;
            std::size_t score = 1;
            std::size_t from = 0;
            for (const io::LayerStep &step : layer.steps) {
                const auto at = std::find(parts.begin() + static_cast<std::ptrdiff_t>(from), parts.end(), step.name);
                if (at == parts.end()) continue;
                ++score;
                from = static_cast<std::size_t>(at - parts.begin()) + 1;
            }
            if (score == best_score) tied = true;
            if (score <= best_score) continue;
            best = i;
            best_score = score;
            tied = false;
        }
        return tied ? std::nullopt : best;
    }

    const Hdf5File &file_;
    std::string root_;
};

// The form of Keras 3: groups named by class, variables named by number. Where the variables carry the layer's name, it decides.
WeightPaths find_by_class(const Hdf5File &file, const ConfiguredLayer &layer) {
    std::string path;
    for (const io::LayerStep &step : layer.steps) {
        const auto stored_name = [&](const std::string &group) -> std::optional<std::string> {
            if (!file.has_group(joined(group, "vars"))) return std::nullopt;
            const auto name = file.strings(joined(group, "vars"), "name");
            return name && name->size() == 1 ? std::optional(name->front()) : std::nullopt;
        };
        std::string next = joined(path, step.member);
        const bool there = file.has_group(next);
        const std::optional<std::string> name = there ? stored_name(next) : std::nullopt;
        const std::string siblings = joined(path, "layers");
        if ((!there || (name && *name != step.name)) && file.has_group(siblings)) {
            for (const std::string &sibling : file.members(siblings)) {
                const std::string other = joined(siblings, sibling);
                if (!file.has_group(other) || stored_name(other) != step.name) continue;
                next = other;
                break;
            }
        }
        if (!file.has_group(next)) return {};
        const std::optional<std::string> final_name = stored_name(next);
        if (final_name && *final_name != step.name) {
            throw FileError(
                fmt::format("{}: {}: expected the layer {}, found {}", file.name(), next, in_quotes(step.name), in_quotes(*final_name)));
        }
        path = next;
    }
    const std::string variables = joined(path, "vars");
    if (!file.has_dataset(joined(variables, "0"))) return {};
    WeightPaths weights = {joined(variables, "0"), joined(variables, "1"), ""};
    if (!file.has_dataset(weights.pointwise_kernel)) {
        throw FileError(fmt::format("{}: {} has no pointwise_kernel (found: {}); is {} a SeparableConv2D?", file.name(), variables,
                                    listed(file.members(variables)), layer.own_name()));
    }
    if (file.has_dataset(joined(variables, "2"))) weights.bias = joined(variables, "2");
    return weights;
}

std::vector<WeightPaths> find_weights(const Hdf5File &file, const std::vector<ConfiguredLayer> &layers) {
    const bool in_model = file.has_group("model_weights");
    const bool named = in_model || file.strings("", "layer_names") || file.strings("", "layer_names0");
    std::vector<WeightPaths> found;
    if (!named) {
        for (const ConfiguredLayer &layer : layers) found.push_back(find_by_class(file, layer));
        return found;
    }
    const LayerGroups groups(file, in_model ? "model_weights" : "");
    for (std::size_t i = 0; i < layers.size();) {
        // The layers of one top-level layer follow one another.
        std::vector<const ConfiguredLayer *> together;
        const std::string &top = layers[i].steps.front().name;
        for (; i < layers.size() && layers[i].steps.front().name == top; ++i) together.push_back(&layers[i]);
        for (WeightPaths &weights : groups.find(together)) found.push_back(std::move(weights));
    }
    return found;
}

void expect_shape(const Hdf5File &file, const std::string &path, const std::vector<std::int64_t> &expected,
                  const std::vector<std::int64_t> &found, const char *name) {
    if (found == expected) return;
    throw FileError(fmt::format("{}: {}: expected the {} shaped {} by the layer's config, found {}", file.name(), path, name,
                                shape_text(expected), shape_text(found)));
}

// Checks what is stored against the config, and gives the input channels.
std::int64_t check_shapes(const Hdf5File &file, const WeightPaths &paths, const LayerConfig &config) {
    const std::vector<std::int64_t> depthwise = file.shape(paths.depthwise_kernel);
    const std::int64_t channels = depthwise.size() == 4 ? depthwise[2] : 1;
    expect_shape(file, paths.depthwise_kernel, {config.kernel_size[0], config.kernel_size[1], channels, config.depth_multiplier}, depthwise,
                 "depthwise_kernel");
    if (channels < 1 || channels > std::numeric_limits<std::int64_t>::max() / config.depth_multiplier) {
        throw FileError(fmt::format("{}: {}: expected one input channel or more, found {}", file.name(), paths.depthwise_kernel,
                                    shape_text(depthwise)));
    }
    expect_shape(file, paths.pointwise_kernel, {1, 1, channels * config.depth_multiplier, config.filters},
                 file.shape(paths.pointwise_kernel), "pointwise_kernel");
    if (config.use_bias && paths.bias.empty()) {
        throw FileError(
            fmt::format("{}: {}: expected a bias beside it (use_bias is true), found none", file.name(), paths.depthwise_kernel));
    }
    if (!config.use_bias && !paths.bias.empty()) {
        throw FileError(fmt::format("{}: {}: expected no bias (use_bias is false), found one", file.name(), paths.bias));
    }
    if (config.use_bias) expect_shape(file, paths.bias, {config.filters}, file.shape(paths.bias), "bias");
    return channels;
}

KerasVersion major_version(const std::string &keras_version, KerasVersion otherwise) {
    if (keras_version.empty()) return otherwise;
    const std::string major = keras_version.substr(0, keras_version.find('.'));
    return major == "1" || major == "2" ? KerasVersion::keras2 : KerasVersion::keras3;
}

// What the weights say of an inferred shape: its channels where the model leaves them open.
InferredShape with_channels(InferredShape inferred, const ModelLayer &layer) {
    if (inferred.shape.empty() || layer.input_channels == 0) return inferred;
    std::int64_t &channels = inferred.shape[layer.config.data_format == DataFormat::channels_first ? 1 : 3];
    if (channels == io::open) channels = layer.input_channels;
    if (channels != layer.input_channels) {
        return {inferred.name,
                {},
                fmt::format("expected {} channels, as its weights have, found {}", layer.input_channels, shape_text(inferred.shape))};
    }
    return inferred;
}

}  // namespace

struct ModelFile::Content {
    std::string name;
    ReadOptions options;
    std::string format;
    std::vector<ModelLayer> layers;
    std::vector<WeightPaths> paths;
    std::optional<Hdf5File> weights;
    // The config of the whole model, as text: parsed, it takes about ten times the memory.
    std::string config;
    std::string config_source;

    std::size_t find(const std::string &layer) const {
        std::vector<std::size_t> matches;
        std::vector<std::string> names, candidates;
        for (std::size_t i = 0; i < layers.size(); ++i) {
            const std::string &full = layers[i].name;
            if (full == layer) return i;
            names.push_back(full);
            if (own_names[i] == layer) {
                matches.push_back(i);
                candidates.push_back(full);
            }
        }
        if (matches.size() == 1) return matches.front();
        if (matches.empty()) {
            throw FileError(fmt::format("{}: no SeparableConv2D is called {} (found: {})", name, in_quotes(layer), listed(names)));
        }
        throw FileError(
            fmt::format("{}: {} is the name of several layers, name one in full: {}", name, in_quotes(layer), listed(candidates)));
    }

    std::vector<std::string> own_names;
};

ModelFile::ModelFile(const fs::path &file, const fs::path &weights, const ReadOptions &options) : content_(std::make_unique<Content>()) {
    Content &content = *content_;
    content.name = file.string();
    content.options = options;
    const Form form = form_of(file);
    if (!weights.empty() && form != Form::json) {
        throw FileError(fmt::format("{}: expected a model's config as JSON, because the weights are apart in {}; found a whole model",
                                    content.name, weights.string()));
    }

    io::ModelConfig config;
    std::string form_name;
    const auto parse = [&](std::string text, const std::string &source) {
        content.config = std::move(text);
        content.config_source = source;
        config = io::parse_model_config(content.config, source);
    };
    switch (form) {
        case Form::hdf5: {
            content.weights.emplace(file);
            const auto text = content.weights->strings("", "model_config");
            if (!text || text->size() != 1) {
                throw FileError(
                    fmt::format("{}: expected the attribute model_config, found none: for a file of weights alone, the model's config "
                                "as JSON is needed too",
                                content.name));
            }
            parse(text->front(), content.name + ": model_config");
            const auto version = content.weights->strings("", "keras_version");
            if (version && version->size() == 1) config.keras_version = version->front();
            form_name = "HDF5";
            break;
        }
        case Form::zip: {
            const ZipFile archive(file);
            Allowance text_allowance(2 * io::most_config_bytes);
            parse(archive.read("config.json", text_allowance), content.name + ": config.json");
            if (archive.has("metadata.json")) {
                config.keras_version =
                    io::json_member(archive.read("metadata.json", text_allowance), "keras_version", content.name + ": metadata.json");
            }
            Allowance image_allowance(options.max_bytes);
            const std::string member = "model.weights.h5";
            content.weights.emplace(archive.read(member, image_allowance), fmt::format("{}: {}", content.name, member));
            form_name = ".keras";
            break;
        }
        case Form::json: {
            parse(config_text(file), content.name);
            form_name = "config as JSON";
            if (weights.empty()) break;
            if (form_of(weights) != Form::hdf5) {
                throw FileError(fmt::format("{}: expected weights as HDF5 (.weights.h5), found another form", weights.string()));
            }
            content.weights.emplace(weights);
            form_name += " with its weights in HDF5";
            break;
        }
    }

    KerasVersion version = major_version(config.keras_version, KerasVersion::keras3);
    for (const ConfiguredLayer &layer : config.layers) {
        ParseContext context;
        context.source = fmt::format("{}: {}", content.name, layer.full_name());
        version = major_version(config.keras_version, layer.version);
        context.version = version;
        context.warn = options.warn;
        content.layers.push_back({layer.full_name(), parse_config(layer.config, context), 0});
        content.own_names.push_back(layer.own_name());
    }
    content.format = fmt::format("Keras {} {} ({})", version == KerasVersion::keras2 ? 2 : 3, form_name,
                                 config.keras_version.empty() ? "no keras_version" : "keras_version " + config.keras_version);
    content.paths.resize(content.layers.size());
    if (!content.weights) return;
    content.paths = find_weights(*content.weights, config.layers);
    for (std::size_t i = 0; i < content.layers.size(); ++i) {
        if (content.paths[i].empty()) continue;
        content.layers[i].input_channels = check_shapes(*content.weights, content.paths[i], content.layers[i].config);
    }
}

ModelFile::~ModelFile() = default;
ModelFile::ModelFile(ModelFile &&) noexcept = default;
ModelFile &ModelFile::operator=(ModelFile &&) noexcept = default;

const std::string &ModelFile::format() const { return content_->format; }

const std::vector<ModelLayer> &ModelFile::layers() const { return content_->layers; }

StoredWeights ModelFile::weights(const std::string &layer) const {
    const std::size_t index = content_->find(layer);
    const WeightPaths &paths = content_->paths[index];
    const std::optional<Hdf5File> &stored = content_->weights;
    if (!stored) {
        throw FileError(fmt::format("{}: the weights of {} are in no file that was given; a config as JSON has none", content_->name,
                                    content_->layers[index].name));
    }
    const Hdf5File &file = *stored;
    if (paths.empty()) throw FileError(fmt::format("{}: expected weights for {}, found none", file.name(), content_->layers[index].name));
    Allowance allowance(content_->options.max_bytes);
    const auto read = [&](const std::string &path) {
        return file.read(path, allowance, content_->options.warn, content_->layers[index].config.dtype);
    };
    StoredWeights weights;
    weights.depthwise_kernel = read(paths.depthwise_kernel);
    weights.pointwise_kernel = read(paths.pointwise_kernel);
    if (!paths.bias.empty()) weights.bias = read(paths.bias);
    return weights;
}

const LayerConfig &ModelFile::config(const std::string &layer) const { return content_->layers[content_->find(layer)].config; }

std::vector<InferredShape> ModelFile::input_shapes(const std::optional<std::vector<std::int64_t>> &model_input) const {
    const io::ModelConfig config = io::parse_model_config(content_->config, content_->config_source);
    const std::vector<io::ReachedShape> reached = io::input_shapes(config, model_input, content_->name);
    std::vector<InferredShape> shapes;
    shapes.reserve(reached.size());
    for (std::size_t i = 0; i < reached.size(); ++i) {
        const ModelLayer &layer = content_->layers[i];
        shapes.push_back(with_channels({layer.name, reached[i].shape, reached[i].reason}, layer));
    }
    return shapes;
}

LayerConfig read_config(const fs::path &file, const ReadOptions &options) {
    const std::string text = config_text(file);
    ParseContext context;
    context.source = file.string();
    context.version = io::version_by_form(text, file.string());
    context.warn = options.warn;
    return parse_config(text, context);
}

}  // namespace sepconv
