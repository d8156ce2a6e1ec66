// The layer for a known image of channels_first in planes, put together from the stages: scratch laid out (pixel, depthwise channel).
#pragma once

#include "Halide.h"
#include "known_shape.h"
#include "schedules/known_planes.h"

namespace sepconv {

/// Keras' depthwise kernel (multiplier, c, x, y) as (x, y, depthwise channel, 0).
Halide::Func plane_taps(Halide::Func kernel, const KnownShape &shape);
std::vector<int> plane_taps_extents(const KnownShape &shape);

/// Defines `output` by updates, as known_shape does.
PlaneStages known_planes(Halide::Func output, Halide::Func input, const KnownWeights &weights, const KnownShape &shape,
                         const KnownTiles &tiles, const std::function<Halide::Expr(Halide::Expr)> &activated, bool keep_order,
                         OutputMemory memory);

}  // namespace sepconv
