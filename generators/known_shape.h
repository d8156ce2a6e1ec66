// The layer for a known shape, put together from the stages as the functions over a tile are: scratch laid out (lane, pixel, block),
// weights packed, the product over pixels that are flattened across the rows of a tile; in one pipeline, with every number known.
#pragma once

#include <string>

#include "Halide.h"
#include "schedules/known_shape.h"

namespace sepconv {

/// The layer's tensors: Keras' weights, or packed ones as the functions below make them.
struct KnownWeights {
    bool packed;
    Halide::Func depthwise, pointwise, bias;  ///< bias undefined: zero
};

/// Keras' depthwise kernel (multiplier, c, x, y) as (lane, x, y, block·multiplier). The last block begins where it ends with the last
/// channel, so it may repeat some.
Halide::Func packed_taps(Halide::Func kernel, const KnownShape &shape, const KnownTiles &tiles);

/// Keras' pointwise kernel (filter, depthwise channel) as (float, 0): for each panel, step after step, the weights of its filters;
/// zero for filters beyond the last.
Halide::Func packed_panels(Halide::Func kernel, const KnownShape &shape, const KnownTiles &tiles);

/// (filter), zero beyond the last filter up to the end of the last panel.
Halide::Func packed_bias(Halide::Func bias, const KnownShape &shape);

/// The extents of the packed weights.
std::vector<int> packed_taps_extents(const KnownShape &shape, const KnownTiles &tiles);
int packed_panels_floats(const KnownShape &shape, const KnownTiles &tiles);
int packed_filters(const KnownShape &shape, const KnownTiles &tiles);

/// One direction of the image: outputs, and zeros before the first input. Numbers where the shape knows them.
struct AxisSizes {
    Halide::Expr input, output, before;
};

struct ImageSizes {
    AxisSizes x, y;
};

/// How the output lies in memory: (filter, pixel, n), or (filter, x, y, n) with nothing between its rows and pixels, or with any strides.
/// The filter comes after x and y with channels_first.
enum class OutputMemory { flat, dense, strided };

/// Defines `output`, where it isn't defined yet, and a part of it by an update. The weights are of the type of the sums.
/// @param input  (c, x, y, n), or with channels_first (x, y, c, n)
KnownStages known_shape(Halide::Func output, Halide::Func input, const KnownWeights &weights, const KnownShape &shape,
                        const ImageSizes &sizes, const KnownTiles &tiles, const std::function<Halide::Expr(Halide::Expr)> &activated,
                        bool keep_order, OutputMemory memory);

}  // namespace sepconv
