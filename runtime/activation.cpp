// The table of Keras' activations, and their serialised forms in both directions.
#include "activation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace sepconv {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// A parameter of an activation function, by the name that it has in Keras 3.
struct Parameter {
    std::string_view name;
    float fallback = 0;
};

struct Function {
    ActivationKind kind;
    bool along_axis;
    std::string_view name;
    std::array<Parameter, 3> parameters = {};  // in the order of Activation::a, b, c

    std::size_t parameter_count() const {
        return std::size_t(std::count_if(parameters.begin(), parameters.end(), [](const Parameter &p) { return !p.name.empty(); }));
    }
};

using enum ActivationKind;

constexpr Function functions[] = {
    {linear, false, "linear"},
    {relu, false, "relu", {{{"max_value", infinity}, {"negative_slope", 0}, {"threshold", 0}}}},
    {relu6, false, "relu6"},
    {leaky_relu, false, "leaky_relu", {{{"negative_slope", 0.2F}}}},
    {elu, false, "elu", {{{"alpha", 1}}}},
    {selu, false, "selu"},
    {celu, false, "celu", {{{"alpha", 1}}}},
    {softplus, false, "softplus"},
    {softsign, false, "softsign"},
    {squareplus, false, "squareplus", {{{"b", 4}}}},
    {soft_shrink, false, "soft_shrink", {{{"threshold", 0.5F}}}},
    {hard_shrink, false, "hard_shrink", {{{"threshold", 0.5F}}}},
    {hard_tanh, false, "hard_tanh"},
    {tanh_shrink, false, "tanh_shrink"},
    {threshold, false, "threshold", {{{"threshold", 0}, {"default_value", 0}}}},
    {tanh, false, "tanh"},
    {sigmoid, false, "sigmoid"},
    {hard_sigmoid, false, "hard_sigmoid"},
    {hard_sigmoid_keras2, false, "hard_sigmoid"},
    {sparse_plus, false, "sparse_plus"},
    {sparse_sigmoid, false, "sparse_sigmoid"},
    {silu, false, "silu"},
    {hard_silu, false, "hard_silu"},
    {gelu, false, "gelu"},
    {gelu_approximate, false, "gelu"},
    {exponential, false, "exponential"},
    {mish, false, "mish"},
    {log_sigmoid, false, "log_sigmoid"},
    {softmax, true, "softmax"},
    {log_softmax, true, "log_softmax"},
    {sparsemax, true, "sparsemax"},
    {glu, true, "glu"},
};

struct Alias {
    std::string_view name;
    ActivationKind kind;
};
constexpr Alias aliases[] = {{"swish", silu}, {"hard_swish", hard_silu}};

// The class name under which activation_json writes what `hard_sigmoid` means in a file of Keras 2. No Keras has a class of this name.
constexpr std::string_view keras2_hard_sigmoid_class = "hard_sigmoid_keras2";

// Layers that can serve as an activation.
constexpr std::string_view layer_classes[] = {"ReLU", "LeakyReLU", "ELU", "Softmax", "ThresholdedReLU", "Activation"};

const Function &function_of(ActivationKind kind) {
    const auto *row = std::find_if(std::begin(functions), std::end(functions), [&](const Function &f) { return f.kind == kind; });
    if (row == std::end(functions)) {
        throw ConfigError(wrong_argument("", "activation", "an ActivationKind", fmt::format("the number {}", static_cast<int>(kind))));
    }
    return *row;
}

const Function *find_function(std::string_view name, KerasVersion version) {
    for (const Alias &alias : aliases) {
        if (alias.name == name) return &function_of(alias.kind);
    }
    // The first of two with one name is what the name means in Keras 3.
    const auto *row = std::find_if(std::begin(functions), std::end(functions), [&](const Function &f) { return f.name == name; });
    if (row == std::end(functions)) return nullptr;
    return row->kind == hard_sigmoid && version == KerasVersion::keras2 ? &function_of(hard_sigmoid_keras2) : row;
}

float &parameter(Activation &activation, std::size_t index) { return index == 0 ? activation.a : index == 1 ? activation.b : activation.c; }

float parameter(const Activation &activation, std::size_t index) {
    return index == 0 ? activation.a : index == 1 ? activation.b : activation.c;
}

std::vector<std::string_view> known_names() {
    std::vector<std::string_view> names;
    for (const Function &function : functions) names.push_back(function.name);
    for (const Alias &alias : aliases) names.push_back(alias.name);
    return names;
}

constexpr std::string_view any_activation = "an activation of Keras (a name, null or a serialised object)";

[[noreturn]] void refuse_lambda(const Argument &argument) {
    argument.wrong_found(any_activation, "a Lambda (Python code, which only Python can run)");
}

[[noreturn]] void refuse_prelu(const Argument &argument) {
    argument.wrong_found("an activation without weights", "PReLU, which has weights of its own");
}

[[noreturn]] void refuse_custom(const Argument &argument, std::string_view name) {
    argument.wrong_found(any_activation,
                         fmt::format("{}, a custom one or none that Keras has{}", shown(name), suggestion(name, known_names())));
}

Activation parse_name(const Argument &argument, const std::string &name, KerasVersion version);

// "axis": an integer, or for softmax a list of them. Whether the axes exist is check_activation's to say.
std::vector<int> parse_axes(const Argument &axis, bool list) {
    constexpr std::int64_t least = std::numeric_limits<int>::min(), most = std::numeric_limits<int>::max();
    const std::string_view expected = list ? "an integer or a list of integers" : "an integer";
    if (!axis.value().is_array() || !list) return {int(axis.integer(least, most, expected))};
    if (axis.value().empty()) axis.wrong(expected);
    std::vector<int> axes;
    for (const Json &element : axis.value()) {
        if (!element.is_number_integer()) axis.wrong(expected);
        axes.push_back(int(Argument(element, "activation axis", axis.source()).integer(least, most, expected)));
    }
    return axes;
}

// {"class_name": "celu", "config": {"alpha": 0.5}}: a function and its parameters, under Keras 3's names.
Activation parse_function(const Argument &config, const Function &function, KerasVersion version) {
    Activation activation = default_activation(function.kind);
    std::vector<std::string_view> keys;
    for (const Parameter &parameter : function.parameters) {
        if (!parameter.name.empty()) keys.push_back(parameter.name);
    }
    if (function.along_axis) keys.push_back("axis");
    if (function.kind == gelu) keys.push_back("approximate");
    // What Keras 3 calls negative_slope, the functions of Keras 2 call alpha.
    const bool slope_is_alpha = version == KerasVersion::keras2 && (function.kind == relu || function.kind == leaky_relu) &&
                                config.has("alpha") && !config.has("negative_slope");
    if (slope_is_alpha) keys.push_back("alpha");
    config.allow_only(keys, fmt::format("the activation {}", function.name));

    for (std::size_t i = 0; i < function.parameter_count(); ++i) {
        const std::string_view name = function.parameters[i].name;
        const std::string_view key = slope_is_alpha && name == "negative_slope" ? std::string_view("alpha") : name;
        if (function.kind == threshold && !config.has(key)) config[key].wrong_found("a number", "nothing (it has no default)");
        if (!config.has(key)) continue;
        const bool may_be_null = name == "max_value";
        if (may_be_null && config[key].value().is_null()) continue;
        parameter(activation, i) = config[key].number(may_be_null ? "a number or null" : "a number");
    }
    if (function.along_axis && config.has("axis")) activation.axes = parse_axes(config["axis"], function.kind == softmax);
    if (function.kind == gelu && config.has("approximate") && config["approximate"].boolean()) activation.kind = gelu_approximate;
    return activation;
}

float non_negative(const Argument &argument, std::string_view expected = "a number of 0 or more") {
    const float number = argument.number(expected);
    if (number < 0) argument.wrong(expected);
    return number;
}

// A layer object: ReLU, LeakyReLU, ELU, Softmax, Keras 2's ThresholdedReLU, Activation.
Activation parse_layer(const Argument &config, std::string_view layer, KerasVersion version) {
    std::vector<std::string_view> keys = {"name", "trainable", "dtype", "batch_input_shape", "batch_shape"};
    const auto allow = [&](std::initializer_list<std::string_view> own) {
        keys.insert(keys.begin(), own);
        config.allow_only(keys, fmt::format("the layer {}", layer));
    };
    if (layer == "ReLU") {
        allow({"max_value", "negative_slope", "threshold"});
        Activation activation = default_activation(relu);
        if (config.has("max_value") && !config["max_value"].value().is_null()) {
            activation.a = non_negative(config["max_value"], "a number of 0 or more, or null");
        }
        if (config.has("negative_slope")) activation.b = non_negative(config["negative_slope"]);
        if (config.has("threshold")) activation.c = non_negative(config["threshold"]);
        return activation;
    }
    if (layer == "LeakyReLU") {
        allow({"negative_slope", "alpha"});
        Activation activation = default_activation(leaky_relu);
        activation.a = 0.3F;  // the layer's default; the function's is 0.2
        if (config.has("alpha") && config.has("negative_slope")) {
            config["alpha"].wrong_found("negative_slope (Keras 3) or alpha (Keras 2)", "both");
        }
        // Keras 2 let this one be negative.
        if (config.has("alpha")) {
            activation.a = version == KerasVersion::keras2 ? config["alpha"].number() : non_negative(config["alpha"]);
        }
        if (config.has("negative_slope")) activation.a = non_negative(config["negative_slope"]);
        return activation;
    }
    if (layer == "ELU") {
        allow({"alpha"});
        Activation activation = default_activation(elu);
        if (config.has("alpha")) activation.a = config["alpha"].number();
        return activation;
    }
    if (layer == "Softmax") {
        allow({"axis", "robust_masking"});
        // robust_masking says how a mask is applied; an activation is called without one.
        if (config.has("robust_masking")) config["robust_masking"].boolean();
        Activation activation = default_activation(softmax);
        if (config.has("axis")) activation.axes = parse_axes(config["axis"], true);
        return activation;
    }
    if (layer == "ThresholdedReLU") {
        allow({"theta"});
        Activation activation = default_activation(threshold);
        activation.a = config.has("theta") ? non_negative(config["theta"]) : 1.0F;
        return activation;
    }
    allow({"activation"});
    if (!config.has("activation")) config["activation"].wrong_found(any_activation, "nothing");
    return parse_activation(config["activation"], version);
}

Activation parse_name(const Argument &argument, const std::string &name, KerasVersion version) {
    const Function *function = find_function(name, version);
    if (function && function->kind == threshold) {
        argument.wrong_found("the parameters threshold and default_value with it, as in {\"class_name\": \"threshold\", \"config\": {…}}",
                             "the name alone (they have no defaults)");
    }
    if (function) return default_activation(function->kind);
    if (name == "PReLU") refuse_prelu(argument);
    if (name == "Lambda") refuse_lambda(argument);
    // Keras 2 takes the layers' names too.
    if (version == KerasVersion::keras2 && name != "Activation" &&
        std::find(std::begin(layer_classes), std::end(layer_classes), name) != std::end(layer_classes)) {
        const Json no_arguments = Json::object();
        return parse_layer(Argument(no_arguments, "activation", argument.source()), name, version);
    }
    refuse_custom(argument, name);
}

Activation parse_object(const Argument &argument, KerasVersion version) {
    if (!argument.has("class_name")) {
        // What layer.get_config() makes of a Python lambda: its byte code, without a class.
        if (argument.has("value")) refuse_lambda(argument);
        argument.wrong("a serialised activation with a class_name");
    }
    static constexpr std::string_view keys[] = {"class_name",   "config",         "module",          "registered_name",
                                                "build_config", "compile_config", "shared_object_id"};
    argument.allow_only(keys, "a serialised object");
    const std::string class_name = argument["class_name"].string("the name of a class");
    if (class_name == "Lambda" || class_name == "__lambda__") refuse_lambda(argument);
    if (class_name == "PReLU") refuse_prelu(argument);

    if (class_name == "function" || class_name == "builtin_function_or_method") {
        return parse_name(argument["config"], argument["config"].string("the name of a function"), version);
    }
    const Function *function =
        class_name == keras2_hard_sigmoid_class ? &function_of(hard_sigmoid_keras2) : find_function(class_name, version);
    const bool is_layer = std::find(std::begin(layer_classes), std::end(layer_classes), class_name) != std::end(layer_classes);
    if (!function && !is_layer) refuse_custom(argument, class_name);

    static const Json no_arguments = Json::object();
    Argument config = argument["config"];
    if (!argument.has("config")) config = Argument(no_arguments, "activation.config", argument.source());
    if (!config.value().is_object()) config.wrong("an object");
    return function ? parse_function(config, *function, version) : parse_layer(config, class_name, version);
}

// The double whose shortest text is the float's: 0.2, not 0.20000000298023224.
double shortest(float value) {
    std::array<char, 32> text = {};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
    double number = value;
    std::from_chars(text.data(), end, number);
    return number;
}

nlohmann::ordered_json parameter_json(float value) {
    if (std::isinf(value)) return nullptr;  // relu without a max_value
    return shortest(value);
}

nlohmann::ordered_json layer_object(std::string_view class_name, nlohmann::ordered_json config) {
    return {{"module", "keras.layers"}, {"class_name", class_name}, {"config", std::move(config)}, {"registered_name", nullptr}};
}

nlohmann::ordered_json axes_json(const std::vector<int> &axes) {
    return axes.size() == 1 ? nlohmann::ordered_json(axes.front()) : nlohmann::ordered_json(axes);
}

}  // namespace

std::string_view name(ActivationKind kind) { return function_of(kind).name; }

bool is_elementwise(ActivationKind kind) { return !function_of(kind).along_axis; }

Activation default_activation(ActivationKind kind) {
    Activation activation;
    activation.kind = kind;
    const Function &function = function_of(kind);
    for (std::size_t i = 0; i < function.parameters.size(); ++i) parameter(activation, i) = function.parameters[i].fallback;
    return activation;
}

Activation parse_activation(const Argument &argument, KerasVersion version) {
    if (argument.value().is_null()) return default_activation(linear);
    if (argument.value().is_string()) return parse_name(argument, argument.value().get<std::string>(), version);
    if (argument.value().is_object()) return parse_object(argument, version);
    argument.wrong(any_activation);
}

nlohmann::ordered_json activation_json(const Activation &activation) {
    const Activation plain = default_activation(activation.kind);
    const Function &function = function_of(activation.kind);
    const bool same_parameters = plain.a == activation.a && plain.b == activation.b && plain.c == activation.c;
    const bool same_axes = !function.along_axis || plain.axes == activation.axes;
    const bool name_says_all =
        activation.kind != threshold && activation.kind != gelu_approximate && activation.kind != hard_sigmoid_keras2;
    if (name_says_all && same_parameters && same_axes) return function.name;

    nlohmann::ordered_json config = nlohmann::ordered_json::object();
    for (std::size_t i = 0; i < function.parameter_count(); ++i) {
        config[std::string(function.parameters[i].name)] = parameter_json(parameter(activation, i));
    }
    if (function.along_axis) config["axis"] = axes_json(activation.axes);
    if (activation.kind == gelu_approximate) config["approximate"] = true;

    // Keras 3's layers refuse negative numbers.
    const bool negative = activation.a < 0 || activation.b < 0 || activation.c < 0;
    if (activation.kind == relu && !negative) return layer_object("ReLU", config);
    if (activation.kind == leaky_relu && !negative) return layer_object("LeakyReLU", config);
    if (activation.kind == elu) return layer_object("ELU", config);
    if (activation.kind == softmax) return layer_object("Softmax", config);
    const std::string_view class_name = activation.kind == hard_sigmoid_keras2 ? keras2_hard_sigmoid_class : function.name;
    return {{"class_name", class_name}, {"config", std::move(config)}};
}

std::optional<Clamp> as_clamp(const Activation &activation) {
    switch (activation.kind) {
        case linear:
            return Clamp{-infinity, infinity};
        case relu6:
            return Clamp{0, 6};
        case hard_tanh:
            return Clamp{-1, 1};
        case relu:
            if (activation.b != 0 || activation.c != 0) return std::nullopt;
            return Clamp{0, activation.a};
        default:
            return std::nullopt;
    }
}

const char *row_name(ActivationKind kind) {
    if (kind == hard_sigmoid_keras2) return "hard_sigmoid_keras2";
    if (kind == gelu_approximate) return "gelu_approximate";
    return sepconv::name(kind).data();
}

std::string resolve_axes(const Activation &activation, std::array<bool, 4> &along) {
    along = {};
    if (is_elementwise(activation.kind)) return "";
    const auto found = [&](std::string_view what) {
        return wrong_argument("", fmt::format("activation.axis of {}", name(activation.kind)), what, shown(Json(activation.axes)));
    };
    if (activation.axes.empty()) return found("at least one axis");
    if (activation.axes.size() > 1 && activation.kind != softmax) return found("one axis");
    for (int axis : activation.axes) {
        if (axis < -4 || axis >= 4) return found("axes from -4 to 3, for an output of rank 4");
        bool &named = along[std::size_t(axis < 0 ? axis + 4 : axis)];
        if (named) return found("each axis once");
        named = true;
    }
    return "";
}

void check_activation(const Activation &activation, std::string_view source) {
    const Function &function = function_of(activation.kind);
    for (std::size_t i = 0; i < function.parameter_count(); ++i) {
        const std::string argument = fmt::format("activation.{} of {}", function.parameters[i].name, function.name);
        const float value = parameter(activation, i);
        const bool is_max_value = activation.kind == relu && i == 0;
        if (is_max_value && !(value >= 0)) {
            throw ConfigError(wrong_argument(source, argument, "a number of 0 or more", fmt::format("{}", value)));
        }
        if (!std::isfinite(value) && !is_max_value) {
            throw ConfigError(wrong_argument(source, argument, "a finite number", fmt::format("{}", value)));
        }
    }
    std::array<bool, 4> along;
    if (const std::string wrong = resolve_axes(activation, along); !wrong.empty()) {
        throw ConfigError(source.empty() ? wrong : fmt::format("{}: {}", source, wrong));
    }
}

}  // namespace sepconv
