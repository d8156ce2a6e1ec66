// JSON as Keras writes the config of a model: made standard, bounded in size and depth, and what is looked up in it everywhere.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace sepconv::io {

using Json = nlohmann::json;

/// The largest config that is read. Those of the largest published models have one or two megabytes.
inline constexpr std::uint64_t most_config_bytes = std::uint64_t(1) << 25;

/// The JSON in a text. NaN and Infinity, which Python writes and JSON has not, become strings. No deeper than 200 levels, so that a
/// recursion over it is bounded.
/// @param source  named in front of every message
/// @throws ConfigError
Json parse_json(std::string_view text, const std::string &source);

/// What a message says of a value that has the wrong type.
std::string kind(const Json &value);

/// Null where `object` is no object, or has no such member.
const Json *member(const Json &object, const char *key);

/// A view of the string in a member, which lives as long as `object`; empty where there is none.
std::string_view string_member(const Json &object, const char *key);

/// The class of a layer is SeparableConv2D, by either of its names.
bool is_separable(std::string_view class_name);

/// What a layer is called: the name in its config, else beside it, else its class.
std::string_view layer_name(const Json &layer);

}  // namespace sepconv::io
