// The layer in double precision, as plainly as its formula reads: what every other way to compute it is held against.
#pragma once

#include <cstdint>
#include <vector>

#include "sepconv/sepconv.h"

namespace sepconv::reference {

/// A dense tensor in double precision, in the order of the layer's data_format.
struct Tensor {
    Shape shape = {};
    std::vector<double> values;
};

/// The depthwise stage alone: (N, OH, OW, C·M), or (N, C·M, OH, OW).
/// @param input  dense
Tensor depthwise(const LayerConfig &config, const Weights &weights, const float *input, const Shape &shape);

/// What the activation is applied to: pointwise(depthwise(input)) + bias, (N, OH, OW, F) or (N, F, OH, OW).
Tensor product(const LayerConfig &config, const Weights &weights, const float *input, const Shape &shape);

/// One value through an elementwise activation.
double activated(double x, const Activation &activation);

/// A tensor through any activation; glu halves its axis.
Tensor activated(const Tensor &tensor, const Activation &activation);

/// Where the function may jump, so that a value beside that place may come out on either side.
std::vector<double> jumps(const Activation &activation);

}  // namespace sepconv::reference
