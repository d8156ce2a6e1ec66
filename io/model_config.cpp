// Walks a Keras model's config. Bounds on size, depth and count keep a hostile one from taking memory or stack.
#include "model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "config_json.h"
#include "message.h"
#include "sepconv/error.h"

namespace sepconv::io {

namespace {

// The largest published model has some hundred.
constexpr std::size_t most_layers = 10000;

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
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    std::string letters;
    for (const char c : class_name) {
        if (is_upper(c) || is_lower(c) || is_digit(c) || c == '_') letters += c;
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

class Walk {
public:
    explicit Walk(const std::string &source) : source_(source) {}

    // `layer` is {"class_name": …, "config": …}. The recursion is no deeper than the JSON, which is bounded.
    void visit(const Json &layer, const std::vector<LayerStep> &steps, bool trainable) {
        const std::string_view class_name = string_member(layer, "class_name");
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
        std::vector<LayerStep> longer = steps;
        longer.push_back({std::string(layer_name(layer)), std::move(group), &layer});
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
    const auto root = std::make_shared<const Json>(parse_json(json, source));
    ModelConfig model;
    model.keras_version = string_member(*root, "keras_version");
    Walk walk(source);
    walk.visit(*root, {}, true);
    model.root = root;
    model.layers = std::move(walk.layers);
    return model;
}

KerasVersion version_by_form(std::string_view layer_config, const std::string &source) {
    const Json config = parse_json(layer_config, source);
    return config.is_object() ? form(config) : KerasVersion::keras3;
}

std::string json_member(std::string_view json, const std::string &key, const std::string &source) {
    return std::string(string_member(parse_json(json, source), key.c_str()));
}

}  // namespace sepconv::io
