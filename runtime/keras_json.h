// JSON as Keras writes it, read with bounds on size and depth, and the messages about what is wrong in it. What the arguments mean is
// left to config.cpp and activation.cpp.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

namespace sepconv {

using Json = nlohmann::json;

/// Parses one JSON text. Refused, besides what is no JSON: a key twice in one object (parsers disagree which one counts), more than 64
/// levels of nesting and more than 16 MiB (a config takes a few KiB).
/// @param source  named in front of messages; may be empty.
/// @throws ConfigError
Json parse_json(std::string_view text, std::string_view source);

/// JSON text of a value.
/// @throws ConfigError  where a string in it is not UTF-8.
std::string json_text(const nlohmann::ordered_json &value);

/// A value on one line, cut short where it is long: for the "found" of a message.
std::string shown(const Json &value);

/// A string in quotes, escaped and cut short likewise.
std::string shown(std::string_view text);

/// "SOURCE: argument: expected …, found …", without the parts that are empty.
std::string wrong_argument(std::string_view source, std::string_view argument, std::string_view expected, std::string_view found);

/// `; did you mean "…"?` with the candidate nearest to a mistyped name, or nothing where none is near.
std::string suggestion(std::string_view name, std::span<const std::string_view> candidates);

/// ASCII letters in lower case, whatever the locale.
std::string lower_case(std::string_view text);

/// A JSON value that knows what it is called, so that every message about it can say so. Refers to the value; does not own it.
class Argument {
public:
    Argument(const Json &value, std::string path, std::string_view source) : value_(&value), path_(std::move(path)), source_(source) {}

    const Json &value() const { return *value_; }
    std::string_view source() const { return source_; }

    bool has(std::string_view key) const { return value_->is_object() && value_->contains(key); }
    /// The member `key` of an object; null where it is absent.
    Argument operator[](std::string_view key) const;

    /// @throws ConfigError  "… expected EXPECTED, found the value", with a remark in brackets where one is given.
    [[noreturn]] void wrong(std::string_view expected, std::string_view remark = {}) const;
    /// @throws ConfigError  "… expected EXPECTED, found FOUND"
    [[noreturn]] void wrong_found(std::string_view expected, std::string_view found) const;

    /// Every key of an object must be among these.
    /// @param owner  what they are arguments of, for the message
    void allow_only(std::span<const std::string_view> keys, std::string_view owner) const;

    std::string string(std::string_view expected = "a string") const;
    bool boolean() const;
    /// A finite number that float32 holds. Keras 2 wrote some as {"type": "ndarray", "value": 0.3}; they are read too.
    float number(std::string_view expected = "a number") const;
    std::int64_t integer(std::int64_t least, std::int64_t most, std::string_view expected) const;

private:
    const Json *value_;
    std::string path_;
    std::string_view source_;
};

}  // namespace sepconv
