// What shape one of Keras' stock layers or operations makes of the shapes that it is given. How layers are connected is left to
// model_shapes.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "config_json.h"

namespace sepconv::io {

/// The extents of a tensor, the batch first; one that the model leaves open is `open`.
using Extents = std::vector<std::int64_t>;
inline constexpr std::int64_t open = -1;
/// The most dimensions that a shape may have.
inline constexpr std::size_t most_dimensions = 16;

/// One call of a layer: of several inputs each has its shape, in Keras' order.
struct LayerCall {
    const Json &config;
    const Json &arguments;  ///< what the call gave by name, or null
    const std::vector<Extents> &inputs;
};

/// Thrown where the shape of an output is not known; says why, for example "expected an input of 4 dimensions, found (8,)".
struct UnknownShape : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Whether a layer's class is one that Keras defines, as far as its module tells: a class of the user's own may have the same name.
bool is_of_keras(const Json &layer);

/// Whether the table has a row for a layer, {"class_name": …, "config": …}. Models, and wrappers of layers of any class, have none.
bool has_shape_rule(const Json &layer);

/// The shape of a layer's output, or of the first of several.
/// @throws UnknownShape
Extents output_shape(const Json &layer, const LayerCall &call);

/// A shape as JSON has it, null where an extent is open; none where it is no shape.
std::optional<Extents> read_shape(const Json &value);

/// A Keras 3 operation (such as keras.ops.add) or a TensorFlow function that Keras 2 wrapped: its calls may have constants for inputs.
bool is_operation(const Json &layer);

}  // namespace sepconv::io
