// Walks a Keras model's config. Bounds on size, depth and count keep a hostile one from taking memory or stack.
#include "model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "message.h"
#include "sepconv/error.h"

namespace sepconv::io {

namespace {

using Json = nlohmann::json;

// Every model inside a model takes four levels; Keras itself recurses over them and gives up far earlier than Python's 1000.
constexpr int deepest_json = 200;
// The largest published model has some hundred.
constexpr std::size_t most_layers = 10000;

bool is_number_character(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// Python writes NaN and Infinity, which JSON has not; any layer of a model may hold some. They are put in quotes, so that the rest can be
// read and a separable convolution that has one shows it in its error. On the way, the depth is bounded.
std::string standard_json(std::string_view text, const std::string &source) {
    if (text.size() > most_config_bytes) {
        throw ConfigError(fmt::format("{}: expected JSON of at most {} bytes, found {}", source, most_config_bytes, text.size()));
    }
    std::string standard;
    standard.reserve(text.size());
    bool in_string = false;
    int depth = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            standard += c;
            if (c == '\\' && i + 1 < text.size()) standard += text[++i];
            in_string = c != '"';
            continue;
        }
        if (c == '[' || c == '{') ++depth;
        if (c == ']' || c == '}') --depth;
        if (depth > deepest_json)
            throw ConfigError(fmt::format("{}: expected JSON nested at most {} deep, found more", source, deepest_json));
        in_string = c == '"';
        bool replaced = false;
        for (const std::string_view word : {"NaN", "-Infinity", "Infinity"}) {
            if (text.substr(i, word.size()) != word || (i > 0 && is_number_character(text[i - 1]))) continue;
            standard += fmt::format("\"{}\"", word);
            i += word.size() - 1;
            replaced = true;
            break;
        }
        if (!replaced) standard += c;
    }
    return standard;
}

Json parse(std::string_view text, const std::string &source) {
    try {
        return Json::parse(standard_json(text, source));
    } catch (const Json::exception &error) {
        throw ConfigError(fmt::format("{}: expected JSON: {}", source, in_quotes(error.what())));
    }
}

// What a message says of a value that has the wrong type.
std::string kind(const Json &value) { return value.is_string() ? in_quotes(value.get_ref<const std::string &>()) : value.type_name(); }

const Json *member(const Json &object, const char *key) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(key);
    return found == object.end() ? nullptr : &*found;
}

std::string string_member(const Json &object, const char *key) {
    const Json *value = member(object, key);
    return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

KerasVersion form(const Json &config) {
    for (const char *key : {"groups", "kernel_initializer", "batch_input_shape"}) {
        if (config.contains(key)) return KerasVersion::keras2;
    }
    for (const char *key : {"depthwise_initializer", "pointwise_initializer", "bias_initializer"}) {
        const Json *initializer = member(config, key);
        if (initializer != nullptr && initializer->is_object() && !initializer->contains("module")) return KerasVersion::keras2;
    }
    return KerasVersion::keras3;
}

// Keras' name for the group of a class: SeparableConv2D becomes separable_conv2d. An underscore goes before a capital that begins a word
// and before one behind a small letter.
std::string snake_case(std::string_view class_name) {
    const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
    const auto is_lower = [](char c) { return c >= 'a' && c <= 'z'; };
    std::string letters;
    for (const char c : class_name) {
        if (is_number_character(c)) letters += c;
    }
    std::string snake;
    for (std::size_t i = 0; i < letters.size(); ++i) {
        if (i > 0 && is_upper(letters[i])) {
            const bool begins_word = i + 1 < letters.size() && is_lower(letters[i + 1]);
            if (begins_word || is_lower(letters[i - 1])) snake += '_';
        }
        snake += is_upper(letters[i]) ? static_cast<char>(letters[i] - 'A' + 'a') : letters[i];
    }
    return snake;
}

bool is_separable(std::string_view class_name) { return class_name == "SeparableConv2D" || class_name == "SeparableConvolution2D"; }

class Walk {
public:
    explicit Walk(const std::string &source) : source_(source) {}

    // `layer` is {"class_name": …, "config": …}. The recursion is no deeper than the JSON, which is bounded.
    void visit(const Json &layer, const std::vector<LayerStep> &steps, bool trainable) {
        const std::string class_name = string_member(layer, "class_name");
        const Json *config = member(layer, "config");
        if (class_name.empty() || config == nullptr) {
            fail(steps, fmt::format("expected a layer with class_name and config, found {}",
                                    layer.is_object() ? "an object without" : kind(layer)));
        }
        const Json *flag = member(*config, "trainable");
        if (flag != nullptr && flag->is_boolean()) trainable = trainable && flag->get<bool>();

        if (is_separable(class_name)) {
            add(*config, steps, trainable);
            return;
        }
        // An early Sequential's config is the list itself.
        const Json *layers = config->is_array() ? config : member(*config, "layers");
        if (layers != nullptr && layers->is_array()) visit_model(*layers, steps, trainable);
        const Json *wrapped = member(*config, "layer");
        if (wrapped != nullptr && wrapped->is_object() && wrapped->contains("class_name")) {
            visit(*wrapped, below(steps, *wrapped, "layer"), trainable);
        }
    }

    std::vector<ConfiguredLayer> layers;

private:
    // Keras 3 names the groups by class, and counts each class apart.
    void visit_model(const Json &layers, const std::vector<LayerStep> &steps, bool trainable) {
        std::map<std::string, int> seen;
        for (const Json &layer : layers) {
            std::string group =
                snake_case(is_separable(string_member(layer, "class_name")) ? "SeparableConv2D" : string_member(layer, "class_name"));
            const int earlier = seen[group]++;
            if (earlier != 0) group += fmt::format("_{}", earlier);
            visit(layer, below(steps, layer, "layers/" + group), trainable);
        }
    }

    static std::vector<LayerStep> below(const std::vector<LayerStep> &steps, const Json &layer, std::string group) {
        const Json *config = member(layer, "config");
        std::string name = config == nullptr ? std::string() : string_member(*config, "name");
        if (name.empty()) name = string_member(layer, "name");
        if (name.empty()) name = string_member(layer, "class_name");
        std::vector<LayerStep> longer = steps;
        longer.push_back({std::move(name), std::move(group)});
        return longer;
    }

    void add(const Json &config, const std::vector<LayerStep> &steps, bool trainable) {
        if (steps.empty()) fail(steps, "expected a model, found a single layer");
        if (!config.is_object()) fail(steps, fmt::format("config: expected an object, found {}", kind(config)));
        if (layers.size() == most_layers) fail(steps, fmt::format("expected at most {} separable convolutions, found more", most_layers));
        ConfiguredLayer layer;
        layer.steps = steps;
        layer.trainable = trainable;
        layer.config = config.dump();
        layer.version = form(config);
        if (!names_.insert(layer.full_name()).second) fail(steps, "expected one layer of this name, found two");
        layers.push_back(std::move(layer));
    }

    [[noreturn]] void fail(const std::vector<LayerStep> &steps, const std::string &what) const {
        ConfiguredLayer place;
        place.steps = steps;
        throw ConfigError(steps.empty() ? fmt::format("{}: {}", source_, what)
                                        : fmt::format("{}: {}: {}", source_, place.full_name(), what));
    }

    const std::string &source_;
    std::set<std::string> names_;
};

}  // namespace

std::string ConfiguredLayer::full_name() const {
    std::string name;
    for (const LayerStep &step : steps) name += (name.empty() ? "" : "/") + step.name;
    return name;
}

ModelConfig parse_model_config(std::string_view json, const std::string &source) {
    const Json root = parse(json, source);
    ModelConfig model;
    model.keras_version = string_member(root, "keras_version");
    Walk walk(source);
    walk.visit(root, {}, true);
    model.layers = std::move(walk.layers);
    return model;
}

KerasVersion version_by_form(std::string_view layer_config, const std::string &source) {
    const Json config = parse(layer_config, source);
    return config.is_object() ? form(config) : KerasVersion::keras3;
}

std::string json_member(std::string_view json, const std::string &key, const std::string &source) {
    return string_member(parse(json, source), key.c_str());
}

}  // namespace sepconv::io
