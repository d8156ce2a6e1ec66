// Reads the JSON of a Keras config. Bounds on size and depth keep a hostile one from taking memory or stack.
#include "config_json.h"

#include <fmt/format.h>

#include "message.h"
#include "sepconv/error.h"

namespace sepconv::io {

namespace {

// Every model inside a model takes four levels; Keras itself recurses over them and gives up far earlier than Python's 1000.
constexpr int deepest_json = 200;

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

}  // namespace

Json parse_json(std::string_view text, const std::string &source) {
    try {
        return Json::parse(standard_json(text, source));
    } catch (const Json::exception &error) {
        throw ConfigError(fmt::format("{}: expected JSON: {}", source, in_quotes(error.what())));
    }
}

std::string kind(const Json &value) { return value.is_string() ? in_quotes(value.get_ref<const std::string &>()) : value.type_name(); }

const Json *member(const Json &object, const char *key) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(key);
    return found == object.end() ? nullptr : &*found;
}

std::string_view string_member(const Json &object, const char *key) {
    const Json *value = member(object, key);
    return value != nullptr && value->is_string() ? std::string_view(value->get_ref<const std::string &>()) : std::string_view();
}

bool is_separable(std::string_view class_name) { return class_name == "SeparableConv2D" || class_name == "SeparableConvolution2D"; }

std::string_view layer_name(const Json &layer) {
    const Json *config = member(layer, "config");
    std::string_view name = config == nullptr ? std::string_view() : string_member(*config, "name");
    if (name.empty()) name = string_member(layer, "name");
    return name.empty() ? string_member(layer, "class_name") : name;
}

}  // namespace sepconv::io
