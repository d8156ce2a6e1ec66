// Walks the layers of a Keras model from its input and says what shape reaches each separable convolution. What a single layer does to a
// shape is left to layer_shapes.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "layer_shapes.h"
#include "model_config.h"

namespace sepconv::io {

/// What one separable convolution is called with.
struct ReachedShape {
    Extents shape;       ///< empty where there is a reason
    std::string reason;  ///< why no shape is known, or not one alone; empty where one is
};

/// One for each of model.layers, in their order.
/// @param model_input  in place of the input shape that the model stores
/// @param source       named in front of every message
/// @throws ShapeError  where model_input does not fit the model
std::vector<ReachedShape> input_shapes(const ModelConfig &model, const std::optional<Extents> &model_input, const std::string &source);

}  // namespace sepconv::io
