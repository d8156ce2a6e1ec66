// Activations between JSON and Activation: names, parameters and serialised objects of Keras 2 and 3. What they compute is left to the
// generators.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "keras_json.h"
#include "sepconv/config.h"

namespace sepconv {

/// The activation that a config's argument means: null, a name, or a serialised function or layer object.
/// @throws ConfigError
Activation parse_activation(const Argument &argument, KerasVersion version);

/// JSON that parse_activation and Keras 3 read back to the same activation. Parameters that Keras has no form for (celu's alpha, the
/// axis of glu, Keras 2's hard_sigmoid) are written as {"class_name": name, "config": {…}} without a module: parse_activation reads it,
/// and Keras refuses it, where with a module it would take the function and drop its parameters.
nlohmann::ordered_json activation_json(const Activation &activation);

/// Checks parameters and axes.
/// @throws ConfigError
void check_activation(const Activation &activation, std::string_view source);

/// What the activation is where it is no more than a clamp, which costs nothing where a product is stored.
struct Clamp {
    float low, high;
};
std::optional<Clamp> as_clamp(const Activation &activation);

/// Its name in the table of pipelines, a literal: Keras' where that is no other's too.
const char *row_name(ActivationKind kind);

/// The axes of the output that an activation works along. None for elementwise functions. Every run asks, so nothing is allocated.
/// @return what is wrong with them; empty where nothing is.
std::string resolve_axes(const Activation &activation, std::array<bool, 4> &along);

}  // namespace sepconv
