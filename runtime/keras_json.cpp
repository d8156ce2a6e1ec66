// The bounded JSON parser and the wording of messages.
#include "keras_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "sepconv/error.h"

namespace sepconv {
namespace {

constexpr int max_depth = 64;
constexpr std::size_t max_text_bytes = std::size_t(16) << 20;
// The longest value and the longest name that a message shows.
constexpr std::size_t max_shown_bytes = 120;

// Watches the parser from its callback: nlohmann-json bounds neither depth nor repeated keys by itself.
class Guard {
public:
    explicit Guard(std::string_view source) : source_(source) {}

    bool operator()(int depth, Json::parse_event_t event, Json &parsed) {
        using enum Json::parse_event_t;
        if ((event == object_start || event == array_start) && depth >= max_depth) {
            throw ConfigError(wrong_argument(source_, "", fmt::format("JSON nested at most {} deep", max_depth), "more"));
        }
        if (event == object_start) open_.emplace_back();
        if (event == object_end) open_.pop_back();
        if (event == key) {
            auto name = parsed.get<std::string>();
            open_.back().current = name;
            if (!open_.back().keys.insert(std::move(name)).second) {
                throw ConfigError(wrong_argument(source_, path(), "one value", "the key twice"));
            }
        }
        return true;
    }

private:
    struct Object {
        std::set<std::string> keys;
        std::string current;
    };

    std::string path() const {
        std::string path;
        for (const Object &object : open_) path += (path.empty() ? "" : ".") + object.current;
        return path.size() > max_shown_bytes ? shown(std::string_view(path)) : path;
    }

    std::string_view source_;
    std::vector<Object> open_;
};

// What stands at a byte of the text, and its line and column, counted from 1.
std::string found_at(std::string_view text, std::size_t offset) {
    offset = std::min(offset, text.size());
    const std::string_view before = text.substr(0, offset);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const std::size_t last_newline = before.rfind('\n');
    const std::size_t column = last_newline == before.npos ? offset + 1 : offset - last_newline;
    const std::string_view rest = text.substr(offset);

    std::string what = "the end of the text";
    if (!rest.empty()) {
        const auto byte = static_cast<unsigned char>(rest.front());
        what = byte > ' ' && byte < 0x7f ? fmt::format("'{}'", rest.front()) : fmt::format("byte 0x{:02x}", byte);
    }
    for (std::string_view literal : {"NaN", "Infinity"}) {
        if (rest.starts_with(literal)) what = fmt::format("{}, which JSON does not have,", literal);
    }
    return fmt::format("{} at line {}, column {}", what, line, column);
}

// Cuts UTF-8 text so that no character is split.
void cut_short(std::string &text) {
    if (text.size() <= max_shown_bytes) return;
    std::size_t end = max_shown_bytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
    text.resize(end);
    text += "...";
}

void append_shown(std::string &out, const Json &value) {
    if (out.size() > max_shown_bytes) return;
    const char *separator = "";
    if (value.is_array()) {
        out += '[';
        for (const Json &element : value) {
            out += std::exchange(separator, ", ");
            append_shown(out, element);
            if (out.size() > max_shown_bytes) return;
        }
        out += ']';
    } else if (value.is_object()) {
        out += '{';
        for (const auto &[key, member] : value.items()) {
            out += std::exchange(separator, ", ");
            out += shown(std::string_view(key)) + ": ";
            append_shown(out, member);
            if (out.size() > max_shown_bytes) return;
        }
        out += '}';
    } else if (value.is_string()) {
        out += shown(std::string_view(value.get_ref<const std::string &>()));
    } else {
        out += value.dump();
    }
}

// Levenshtein's distance, letters of either case counting as the same.
std::size_t distance(std::string_view a, std::string_view b) {
    const std::string left = lower_case(a), right = lower_case(b);
    std::vector<std::size_t> row(right.size() + 1);
    for (std::size_t j = 0; j <= right.size(); ++j) row[j] = j;
    for (std::size_t i = 0; i < left.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i + 1);
        for (std::size_t j = 0; j < right.size(); ++j) {
            const std::size_t replaced = diagonal + (left[i] == right[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
        }
    }
    return row.back();
}

}  // namespace

Json parse_json(std::string_view text, std::string_view source) {
    if (text.size() > max_text_bytes) {
        throw ConfigError(
            wrong_argument(source, "", fmt::format("at most {} bytes of JSON", max_text_bytes), fmt::format("{}", text.size())));
    }
    try {
        return Json::parse(text.begin(), text.end(), Guard(source));
    } catch (const Json::parse_error &error) {
        throw ConfigError(wrong_argument(source, "", "JSON", found_at(text, error.byte > 0 ? error.byte - 1 : 0)));
    } catch (const Json::out_of_range &) {
        // The parser's one other failure: a number that double does not hold, such as 1e999.
        throw ConfigError(wrong_argument(source, "", "numbers that float64 holds", "a larger one"));
    }
}

std::string json_text(const nlohmann::ordered_json &value) {
    try {
        return value.dump();
    } catch (const nlohmann::ordered_json::type_error &) {
        throw ConfigError("a string in the config: expected UTF-8, found other bytes");
    }
}

std::string shown(const Json &value) {
    std::string out;
    append_shown(out, value);
    cut_short(out);
    return out;
}

std::string shown(std::string_view text) {
    // Cut before it is escaped: a text may have megabytes.
    std::string out(text.substr(0, max_shown_bytes + 4));
    cut_short(out);
    return Json(std::move(out)).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string wrong_argument(std::string_view source, std::string_view argument, std::string_view expected, std::string_view found) {
    return fmt::format("{}{}{}{}expected {}, found {}", source, source.empty() ? "" : ": ", argument, argument.empty() ? "" : ": ",
                       expected, found);
}

std::string suggestion(std::string_view name, std::span<const std::string_view> candidates) {
    // A longer name has no candidate near, and the distance takes time in proportion to the product of the lengths.
    constexpr std::size_t longest = 64;
    if (name.size() > longest) return "";
    // One slip in three letters is a slip; more is another word.
    std::size_t nearest = name.size() / 3 + 1;
    std::string_view best;
    for (std::string_view candidate : candidates) {
        const std::size_t apart = distance(name, candidate);
        if (apart < nearest) {
            nearest = apart;
            best = candidate;
        }
    }
    return best.empty() ? "" : fmt::format("; did you mean \"{}\"?", best);
}

std::string lower_case(std::string_view text) {
    std::string lower(text);
    for (char &letter : lower) {
        if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    }
    return lower;
}

Argument Argument::operator[](std::string_view key) const {
    static const Json null;
    std::string path = path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
    const auto member = value_->find(key);
    return {member == value_->end() ? null : *member, std::move(path), source_};
}

void Argument::wrong(std::string_view expected, std::string_view remark) const {
    wrong_found(expected, remark.empty() ? shown(*value_) : fmt::format("{} ({})", shown(*value_), remark));
}

void Argument::wrong_found(std::string_view expected, std::string_view found) const {
    throw ConfigError(wrong_argument(source_, path_, expected, found));
}

void Argument::allow_only(std::span<const std::string_view> keys, std::string_view owner) const {
    for (const auto &[key, member] : value_->items()) {
        if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
        const std::string name = key.size() > max_shown_bytes ? shown(std::string_view(key)) : key;
        const std::string path = path_.empty() ? name : fmt::format("{}.{}", path_, name);
        throw ConfigError(wrong_argument(source_, path, fmt::format("an argument of {}", owner),
                                         fmt::format("one that it does not have{}", suggestion(key, keys))));
    }
}

std::string Argument::string(std::string_view expected) const {
    if (!value_->is_string()) wrong(expected);
    return value_->get<std::string>();
}

bool Argument::boolean() const {
    if (!value_->is_boolean()) wrong("true or false");
    return value_->get<bool>();
}

float Argument::number(std::string_view expected) const {
    const Json *number = value_;
    if (value_->is_object() && value_->size() == 2 && value_->value("type", Json()) == "ndarray" && value_->contains("value")) {
        number = &value_->at("value");
    }
    if (!number->is_number()) wrong(expected);
    const double value = number->get<double>();
    if (!(std::fabs(value) <= double(std::numeric_limits<float>::max()))) wrong(expected, "float32 does not hold it");
    return static_cast<float>(value);
}

std::int64_t Argument::integer(std::int64_t least, std::int64_t most, std::string_view expected) const {
    if (!value_->is_number_integer()) wrong(expected);
    // Beyond the signed range the parser stores an unsigned number.
    const bool fits = !value_->is_number_unsigned() || value_->get<std::uint64_t>() <= std::uint64_t(most);
    const std::int64_t integer = fits ? value_->get<std::int64_t>() : most;
    if (!fits || integer > most) wrong(expected, fmt::format("at most {}", most));
    if (integer < least) wrong(expected);
    return integer;
}

}  // namespace sepconv
