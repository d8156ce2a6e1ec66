// LayerConfig: from JSON and back, its rules, the default data format, and the shape of the output.
#include "sepconv/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <system_error>

#include "activation.h"
#include "keras_json.h"

namespace sepconv {
namespace {

namespace fs = std::filesystem;

// The largest value of an argument that counts something: pipelines index with 32 bits.
constexpr std::int64_t max_argument = std::numeric_limits<std::int32_t>::max();

// A keras.json takes about 100 bytes.
constexpr std::uintmax_t max_keras_json_bytes = 1 << 20;

constexpr std::string_view layer_class = "SeparableConv2D";

// What an argument of LayerConfig::training names.
enum class TrainingKind { initializer, regularizer, constraint };

struct TrainingArgument {
    std::string_view name;
    TrainingKind kind;
};
using enum TrainingKind;
constexpr TrainingArgument training_arguments[] = {
    {"depthwise_initializer", initializer}, {"pointwise_initializer", initializer}, {"bias_initializer", initializer},
    {"depthwise_regularizer", regularizer}, {"pointwise_regularizer", regularizer}, {"bias_regularizer", regularizer},
    {"activity_regularizer", regularizer},  {"depthwise_constraint", constraint},   {"pointwise_constraint", constraint},
    {"bias_constraint", constraint},
};

constexpr std::string_view kind_names[] = {"initializer", "regularizer", "constraint"};

// Every argument of the layer but those above, then Keras' bookkeeping, then what Keras 2 writes besides.
constexpr std::string_view other_arguments[] = {
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "data_format",
    "dilation_rate",
    "depth_multiplier",
    "activation",
    "use_bias",
    "name",
    "dtype",
    "trainable",
    "batch_input_shape",
    "batch_shape",
    "groups",
    "kernel_initializer",
    "kernel_regularizer",
    "kernel_constraint",
};

// Names that a string may give, and what Keras 3 calls them where only Keras 2 knows the name.
struct TrainingName {
    TrainingKind kind;
    std::string_view name;
    const char *keras3 = nullptr;
};
constexpr TrainingName training_names[] = {
    {initializer, "Constant"},
    {initializer, "constant"},
    {initializer, "GlorotNormal"},
    {initializer, "glorot_normal"},
    {initializer, "GlorotUniform"},
    {initializer, "glorot_uniform"},
    {initializer, "HeNormal"},
    {initializer, "he_normal"},
    {initializer, "HeUniform"},
    {initializer, "he_uniform"},
    {initializer, "Identity"},
    {initializer, "identity"},
    {initializer, "LecunNormal"},
    {initializer, "lecun_normal"},
    {initializer, "LecunUniform"},
    {initializer, "lecun_uniform"},
    {initializer, "Ones"},
    {initializer, "ones"},
    {initializer, "Orthogonal"},
    {initializer, "orthogonal"},
    {initializer, "RandomNormal"},
    {initializer, "random_normal"},
    {initializer, "RandomUniform"},
    {initializer, "random_uniform"},
    {initializer, "STFT"},
    {initializer, "stft"},
    {initializer, "TruncatedNormal"},
    {initializer, "truncated_normal"},
    {initializer, "VarianceScaling"},
    {initializer, "variance_scaling"},
    {initializer, "Zeros"},
    {initializer, "zeros"},
    {initializer, "normal"},
    {initializer, "uniform"},
    {initializer, "one"},
    {initializer, "zero"},
    {initializer, "IdentityInitializer"},
    {initializer, "OrthogonalInitializer"},
    {initializer, "STFTInitializer"},
    {regularizer, "L1"},
    {regularizer, "l1"},
    {regularizer, "L2"},
    {regularizer, "l2"},
    {regularizer, "L1L2"},
    {regularizer, "l1l2"},
    {regularizer, "OrthogonalRegularizer"},
    {regularizer, "orthogonal_regularizer"},
    // Keras 2's l1_l2 has the factors 0.01 and 0.01, where both Keras' class has 0 and 0.
    {regularizer, "l1_l2",
     R"({"module": "keras.regularizers", "class_name": "L1L2", "config": {"l1": 0.01, "l2": 0.01}, "registered_name": null})"},
    {constraint, "MaxNorm"},
    {constraint, "max_norm"},
    {constraint, "MinMaxNorm"},
    {constraint, "min_max_norm"},
    {constraint, "NonNeg"},
    {constraint, "non_neg"},
    {constraint, "UnitNorm"},
    {constraint, "unit_norm"},
    {constraint, "maxnorm", R"("max_norm")"},
    {constraint, "nonneg", R"("non_neg")"},
    {constraint, "unitnorm", R"("unit_norm")"},
    // Keras 3 has no constraint that would do.
    {constraint, "RadialConstraint"},
    {constraint, "radial_constraint"},
};

constexpr std::string_view one_or_two = "one positive integer or two";

std::int64_t positive_integer(const Argument &arguments, std::string_view key) {
    const Argument argument = arguments[key];
    if (!arguments.has(key)) argument.wrong_found("a positive integer", "nothing");
    return argument.integer(1, max_argument, "a positive integer");
}

std::array<std::int64_t, 2> pair(const Argument &arguments, std::string_view key) {
    const Argument argument = arguments[key];
    if (!arguments.has(key)) argument.wrong_found(one_or_two, "nothing");
    if (!argument.value().is_array()) {
        const std::int64_t both = argument.integer(1, max_argument, one_or_two);
        return {both, both};
    }
    if (argument.value().size() != 2) argument.wrong(one_or_two);
    std::array<std::int64_t, 2> pair = {};
    for (std::size_t i = 0; i < pair.size(); ++i) {
        const Json &element = argument.value()[i];
        // The message is about the whole list, so the bounds are checked here.
        if (!element.is_number_integer() || element < 1) argument.wrong(one_or_two);
        if (element > max_argument) argument.wrong(one_or_two, fmt::format("at most {}", max_argument));
        pair[i] = element.get<std::int64_t>();
    }
    return pair;
}

Padding parse_padding(const Argument &argument) {
    constexpr std::string_view expected = "\"valid\" or \"same\"";
    const std::string padding = lower_case(argument.string(expected));
    if (padding == "valid") return Padding::valid;
    if (padding == "same") return Padding::same;
    argument.wrong(expected, padding == "causal" ? "causal padding is for 1-D convolutions" : "");
}

DataFormat parse_data_format(const Argument &argument, bool any_case) {
    constexpr std::string_view expected = "\"channels_last\" or \"channels_first\"";
    std::string format = argument.string(expected);
    if (any_case) format = lower_case(format);
    if (format == "channels_last") return DataFormat::channels_last;
    if (format == "channels_first") return DataFormat::channels_first;
    argument.wrong(expected);
}

// Float16 and float32 are computed as Keras does; another floating-point type is computed in float32, which is worth a warning.
Dtype parse_dtype(const Argument &argument, const ParseContext &context) {
    if (argument.value().is_null()) return Dtype::float32;
    constexpr std::string_view expected = "a floating-point dtype or a serialised DTypePolicy";
    Argument name = argument;
    if (argument.value().is_object()) {
        if (!argument.has("class_name")) argument.wrong(expected);
        const std::string policy = argument["class_name"].string("the name of a dtype policy");
        if (policy.starts_with("Quantized") || policy == "Int4DTypePolicy" || policy == "GPTQDTypePolicy" || policy == "AWQDTypePolicy") {
            argument["class_name"].wrong("a floating-point dtype policy", "quantised weights are not supported");
        }
        static constexpr std::string_view policies[] = {"DTypePolicy", "FloatDTypePolicy", "Policy", "PolicyV1"};
        if (std::find(std::begin(policies), std::end(policies), policy) == std::end(policies)) {
            argument["class_name"].wrong("DTypePolicy");
        }
        name = argument["config"];
        if (!name.value().is_object()) name.wrong("an object");
        name = name["name"];
    }
    const std::string dtype = name.string(expected);
    static constexpr std::string_view floating_point[] = {"float32", "float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"};
    if (std::find(std::begin(floating_point), std::end(floating_point), dtype) == std::end(floating_point)) {
        name.wrong("one of float32, float16, bfloat16, float64, mixed_float16 and mixed_bfloat16");
    }
    // The layers of mixed_float16 keep their variables in float32, and round them to float16 before they use them.
    if (dtype == "float16" || dtype == "mixed_float16") return Dtype::float16;
    if (dtype != "float32" && context.warn) {
        context.warn(fmt::format("{}{}dtype: {}; the weights are converted to float32 and the layer computes in it", context.source,
                                 context.source.empty() ? "" : ": ", dtype));
    }
    return Dtype::float32;
}

// Keras' record of the input that the layer was built for. The shape that counts is the one that the layer is run with.
void check_batch_shape(const Argument &argument) {
    constexpr std::string_view expected = "null or a list of 4 extents, null where one is open";
    if (argument.value().is_null()) return;
    if (!argument.value().is_array() || argument.value().size() != 4) argument.wrong(expected);
    for (const Json &extent : argument.value()) {
        if (!extent.is_null() && !(extent.is_number_integer() && extent >= 0)) argument.wrong(expected);
    }
}

// JSON text of an initializer, regularizer or constraint, under Keras 3's name.
std::string training_text(const Argument &argument, TrainingKind kind) {
    const std::string_view kind_name = kind_names[static_cast<int>(kind)];
    const auto expected = [&] { return fmt::format("the name of a Keras {}, a serialised one or null", kind_name); };
    const Json &value = argument.value();
    if (value.is_null()) return "null";
    if (value.is_string()) {
        const auto &name = value.get_ref<const std::string &>();
        std::vector<std::string_view> names;
        for (const TrainingName &known : training_names) {
            if (known.kind != kind) continue;
            if (known.name == name) return known.keras3 ? Json::parse(known.keras3).dump() : value.dump();
            names.push_back(known.name);
        }
        // Keras 2 knows its initializers by the names of their second version too: glorot_uniformV2 is glorot_uniform.
        if (kind == initializer && name.ends_with("V2")) {
            const std::string first = name.substr(0, name.size() - 2);
            if (std::find(names.begin(), names.end(), first) != names.end()) return Json(first).dump();
        }
        argument.wrong_found(expected(), shown(value) + suggestion(name, names));
    }
    if (!value.is_object()) argument.wrong(expected());
    static constexpr std::string_view keys[] = {"class_name",   "config",         "module",          "registered_name",
                                                "build_config", "compile_config", "shared_object_id"};
    argument.allow_only(keys, "a serialised object");
    if (!argument.has("class_name")) argument.wrong(fmt::format("a serialised {} with a class_name", kind_name));
    if (argument["class_name"].string("the name of a class").empty()) argument["class_name"].wrong("the name of a class");
    if (argument.has("config") && !value["config"].is_object() && !value["config"].is_string()) argument["config"].wrong("an object");
    return value.dump();
}

std::string pair_text(const std::array<std::int64_t, 2> &pair) { return fmt::format("[{}, {}]", pair[0], pair[1]); }

void check_range(std::int64_t value, std::string_view argument, std::string_view source) {
    if (value < 1) throw ConfigError(wrong_argument(source, argument, "a positive integer", fmt::format("{}", value)));
    if (value > max_argument) {
        throw ConfigError(wrong_argument(source, argument, fmt::format("at most {}", max_argument), fmt::format("{}", value)));
    }
}

void check_range(const std::array<std::int64_t, 2> &pair, std::string_view argument, std::string_view source) {
    for (std::int64_t value : pair) {
        if (value < 1) throw ConfigError(wrong_argument(source, argument, "two positive integers", pair_text(pair)));
        if (value > max_argument) {
            throw ConfigError(wrong_argument(source, argument, fmt::format("at most {}", max_argument), pair_text(pair)));
        }
    }
}

// The axis of the output that holds the filters.
int filters_axis(const LayerConfig &config) { return config.data_format == DataFormat::channels_last ? 3 : 1; }

// Everything but the training arguments, which do not change what is computed.
void check_arguments(const LayerConfig &config, std::string_view source) {
    check_range(config.filters, "filters", source);
    check_range(config.kernel_size, "kernel_size", source);
    check_range(config.strides, "strides", source);
    check_range(config.dilation_rate, "dilation_rate", source);
    check_range(config.depth_multiplier, "depth_multiplier", source);
    if (config.padding != Padding::valid && config.padding != Padding::same) {
        throw ConfigError(wrong_argument(source, "padding", "Padding::valid or same", fmt::format("{}", int(config.padding))));
    }
    if (config.data_format != DataFormat::channels_last && config.data_format != DataFormat::channels_first) {
        throw ConfigError(wrong_argument(source, "data_format", "DataFormat::channels_last or channels_first",
                                         fmt::format("{}", int(config.data_format))));
    }
    if (config.dtype != Dtype::float32 && config.dtype != Dtype::float16) {
        throw ConfigError(wrong_argument(source, "dtype", "Dtype::float32 or float16", fmt::format("{}", int(config.dtype))));
    }
    const auto above_one = [](const std::array<std::int64_t, 2> &pair) { return pair[0] > 1 || pair[1] > 1; };
    if (above_one(config.strides) && above_one(config.dilation_rate)) {
        throw ConfigError(
            wrong_argument(source, "strides", "1 where dilation_rate is not 1 (the layer has one or the other)",
                           fmt::format("strides {} with dilation_rate {}", pair_text(config.strides), pair_text(config.dilation_rate))));
    }
}

// A whole config, the source in front of every message.
void check(const LayerConfig &config, std::string_view source) {
    check_arguments(config, source);
    check_activation(config.activation, source);
    std::array<bool, 4> along;
    resolve_axes(config.activation, along);
    if (config.activation.kind == ActivationKind::glu && along[std::size_t(filters_axis(config))] && config.filters % 2 != 0) {
        throw ConfigError(
            wrong_argument(source, "filters", "an even number, which the activation glu halves", fmt::format("{}", config.filters)));
    }
    for (const auto &[name, text] : config.training) {
        const auto *argument = std::find_if(std::begin(training_arguments), std::end(training_arguments),
                                            [&name = name](const TrainingArgument &known) { return known.name == name; });
        if (argument == std::end(training_arguments)) {
            throw ConfigError(wrong_argument(source, shown(std::string_view(name)),
                                             "an initializer, regularizer or constraint of the layer", "an unknown name"));
        }
        const std::string inner = source.empty() ? name : fmt::format("{}: {}", source, name);
        const Json value = parse_json(text, inner);
        training_text(Argument(value, name, source), argument->kind);
    }
}

// Python's os.path.expanduser for the forms that name a home: "~", "~/…" and "~user/…". Unchanged where the home is not known.
std::string expand_user(const std::string &path) {
    if (!path.starts_with('~')) return path;
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string user = path.substr(1, end - 1);
    std::string home;
    const char *home_variable = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe)
    if (user.empty() && home_variable) {
        home = home_variable;
    } else {
        std::vector<char> storage(16 << 10);
        passwd entry = {};
        passwd *result = nullptr;
        const int failed = user.empty() ? getpwuid_r(getuid(), &entry, storage.data(), storage.size(), &result)
                                        : getpwnam_r(user.c_str(), &entry, storage.data(), storage.size(), &result);
        if (failed || !result) return path;
        home = result->pw_dir;
    }
    while (home.ends_with('/')) home.pop_back();
    const std::string expanded = home + path.substr(end);
    return expanded.empty() ? "/" : expanded;
}

// What a keras.json holds.
std::string read_keras_json(const fs::path &file) {
    std::error_code error;
    if (!fs::is_regular_file(file, error)) throw ConfigError(wrong_argument(file.string(), "", "a file", "something else"));
    std::ifstream stream(file, std::ios::binary);
    if (!stream) throw ConfigError(wrong_argument(file.string(), "", "a file that can be read", std::system_category().message(errno)));
    std::string text(max_keras_json_bytes + 1, '\0');
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(stream.gcount()));
    if (stream.bad()) throw ConfigError(wrong_argument(file.string(), "", "a file that can be read", "an error while reading"));
    if (text.size() > max_keras_json_bytes) {
        throw ConfigError(wrong_argument(file.string(), "", fmt::format("at most {} bytes", max_keras_json_bytes), "more"));
    }
    return text;
}

std::string shape_text(const Shape &shape) { return fmt::format("({})", fmt::join(shape, ", ")); }

// A tensor whose bytes, or whose dense strides in elements, pass what 64 bits address is refused. An empty batch counts as one image,
// so that the strides of an empty tensor are right too.
void check_addressable(const Shape &shape, std::string_view tensor) {
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / std::int64_t(sizeof(float));
    std::int64_t elements = 1;
    for (std::int64_t extent : shape) {
        const std::int64_t factor = std::max<std::int64_t>(extent, 1);
        if (elements > most / factor) {
            throw ShapeError(wrong_argument("", tensor, "a shape whose size in bytes fits 63 bits", shape_text(shape)));
        }
        elements *= factor;
    }
}

}  // namespace

std::string_view name(Dtype dtype) { return dtype == Dtype::float16 ? "float16" : "float32"; }

LayerConfig parse_config(std::string_view json, const ParseContext &context) {
    const std::string &source = context.source;
    const Json value = parse_json(json, source);
    const Argument arguments(value, "", source);
    if (!value.is_object()) arguments.wrong(fmt::format("an object with the arguments of {}", layer_class));
    std::vector<std::string_view> keys(std::begin(other_arguments), std::end(other_arguments));
    for (const TrainingArgument &argument : training_arguments) keys.push_back(argument.name);
    arguments.allow_only(keys, layer_class);

    LayerConfig config;
    if (arguments.has("name") && !arguments["name"].value().is_null()) config.name = arguments["name"].string("a string or null");
    if (arguments.has("trainable")) config.trainable = arguments["trainable"].boolean();
    config.dtype = parse_dtype(arguments["dtype"], context);
    check_batch_shape(arguments["batch_input_shape"]);
    check_batch_shape(arguments["batch_shape"]);

    config.filters = positive_integer(arguments, "filters");
    config.kernel_size = pair(arguments, "kernel_size");
    if (arguments.has("strides")) config.strides = pair(arguments, "strides");
    if (arguments.has("padding")) config.padding = parse_padding(arguments["padding"]);
    if (arguments.has("dilation_rate")) config.dilation_rate = pair(arguments, "dilation_rate");
    if (arguments.has("depth_multiplier")) config.depth_multiplier = positive_integer(arguments, "depth_multiplier");
    if (arguments.has("use_bias")) config.use_bias = arguments["use_bias"].boolean();
    config.activation = parse_activation(arguments["activation"], context.version);

    // What Keras 2 takes over from the ordinary convolution. None of it changes what a separable one computes.
    if (arguments.has("groups") && arguments["groups"].value() != 1) arguments["groups"].wrong("1");
    if (arguments.has("groups")) arguments["groups"].integer(1, 1, "1");
    training_text(arguments["kernel_initializer"], initializer);
    for (std::string_view unused : {"kernel_regularizer", "kernel_constraint"}) {
        if (!arguments[unused].value().is_null()) {
            arguments[unused].wrong("null", "the layer has one for its depthwise and one for its pointwise kernel");
        }
    }
    for (const TrainingArgument &argument : training_arguments) {
        if (arguments.has(argument.name)) {
            config.training.emplace(argument.name, training_text(arguments[argument.name], argument.kind));
        }
    }
    check_arguments(config, source);

    // Last, because it may read a file.
    const Argument data_format = arguments["data_format"];
    if (!data_format.value().is_null()) {
        config.data_format = parse_data_format(data_format, true);
    } else {
        config.data_format = context.data_format ? *context.data_format : default_data_format(context.warn);
    }
    check(config, source);
    return config;
}

std::string to_json(const LayerConfig &config) {
    validate(config);
    nlohmann::ordered_json json = {
        {"name", config.name},
        {"trainable", config.trainable},
        {"dtype", name(config.dtype)},
        {"filters", config.filters},
        {"kernel_size", config.kernel_size},
        {"strides", config.strides},
        {"padding", config.padding == Padding::same ? "same" : "valid"},
        {"data_format", config.data_format == DataFormat::channels_first ? "channels_first" : "channels_last"},
        {"dilation_rate", config.dilation_rate},
        {"depth_multiplier", config.depth_multiplier},
        {"activation", activation_json(config.activation)},
        {"use_bias", config.use_bias},
    };
    for (const auto &[name, text] : config.training) json[name] = nlohmann::ordered_json::parse(text);
    return json_text(json);
}

void validate(const LayerConfig &config) { check(config, ""); }

DataFormat default_data_format(const std::function<void(const std::string &)> &warn) {
    const char *keras_home = std::getenv("KERAS_HOME");  // NOLINT(concurrency-mt-unsafe)
    std::string folder = keras_home ? keras_home : "~/.keras";
    if (!folder.empty() && !folder.ends_with('/')) folder += '/';
    const fs::path file = expand_user(folder + "keras.json");
    std::error_code error;
    if (!fs::exists(file, error)) return DataFormat::channels_last;

    const std::string text = read_keras_json(file);
    Json settings;
    try {
        settings = Json::parse(text, [](int depth, Json::parse_event_t, Json &) {
            if (depth > 8) throw ConfigError("expected the settings of Keras, found deeper nesting");
            return true;
        });
    } catch (const std::exception &failure) {
        if (warn) warn(fmt::format("{} is ignored, as Keras ignores it: it is not JSON", file.string()));
        return DataFormat::channels_last;
    }
    const std::string source = file.string();
    const Argument arguments(settings, "", source);
    if (!settings.is_object()) arguments.wrong("an object with the settings of Keras");
    if (!arguments.has("image_data_format")) return DataFormat::channels_last;
    return parse_data_format(arguments["image_data_format"], false);
}

WindowFit fit_window(std::int64_t input, std::int64_t kernel, std::int64_t stride, std::int64_t dilation, Padding padding) {
    if (input <= 0 || kernel <= 0 || stride <= 0 || dilation <= 0) return {};
    // (kernel - 1) * dilation + 1, held at the largest number: nothing is that large an image.
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    const std::int64_t span = kernel - 1 > (most - 1) / dilation ? most : (kernel - 1) * dilation + 1;
    if (padding == Padding::valid) return {span > input ? 0 : (input - span) / stride + 1, 0};
    // The last window starts (output - 1) * stride after the first, which is less than the input.
    const std::int64_t output = (input - 1) / stride + 1;
    const std::int64_t left_for_last = input - (output - 1) * stride;
    return {output, span > left_for_last ? (span - left_for_last) / 2 : 0};
}

Shape output_shape(const LayerConfig &config, const Shape &input) {
    check_arguments(config, "");
    const bool channels_last = config.data_format == DataFormat::channels_last;
    const std::string_view order = channels_last ? "(N, H, W, C)" : "(N, C, H, W)";
    if (input[0] < 0 || input[1] < 1 || input[2] < 1 || input[3] < 1) {
        throw ShapeError(wrong_argument("", "input", fmt::format("positive extents {}, N may be 0", order), shape_text(input)));
    }
    check_addressable(input, "input");
    const std::size_t rows = channels_last ? 1 : 2;
    const std::size_t columns = rows + 1;
    Shape output = {input[0], 0, 0, 0};
    output[std::size_t(filters_axis(config))] = config.filters;
    for (std::size_t dimension = 0; dimension < 2; ++dimension) {
        const std::size_t axis = dimension == 0 ? rows : columns;
        const std::int64_t kernel = config.kernel_size[dimension], dilation = config.dilation_rate[dimension];
        output[axis] = fit_window(input[axis], kernel, config.strides[dimension], dilation, config.padding).output;
        if (output[axis] < 1) {
            // Both at most 2^31 - 1, so that the window's extent fits 64 bits.
            throw ShapeError(wrong_argument("", "input",
                                            fmt::format("at least {} {}, the extent of a valid window", (kernel - 1) * dilation + 1,
                                                        dimension == 0 ? "rows" : "columns"),
                                            fmt::format("{} in {} {}", input[axis], order, shape_text(input))));
        }
    }

    std::array<bool, 4> along;
    if (const std::string wrong = resolve_axes(config.activation, along); !wrong.empty()) throw ShapeError(wrong);
    if (config.activation.kind == ActivationKind::glu) {
        const auto axis = std::size_t(std::find(along.begin(), along.end(), true) - along.begin());
        std::int64_t &halved = output[axis];
        if (halved % 2 != 0) {
            throw ShapeError(wrong_argument("", "output", fmt::format("an even extent of axis {}, which glu halves", axis),
                                            fmt::format("{} in {}", halved, shape_text(output))));
        }
        halved /= 2;
    }
    check_addressable(output, "output");
    return output;
}

}  // namespace sepconv
