// The layer's algorithm, stage by stage, written once. How a stage indexes its tensors differs between the forms (a tile in scratch
// or a whole image, channels_last or channels_first), so each stage takes accessors and names none of the dimensions itself.
#pragma once

#include <functional>
#include <vector>

#include "Halide.h"

namespace sepconv {

/// The depthwise window: its size, and how far apart outputs and taps lie in the input.
struct Window {
    Halide::Expr width, height;
    Halide::Expr stride_x, stride_y;
    Halide::Expr dilation_x, dilation_y;
};

/// Reads one value at a column and a row; the other coordinates are the caller's.
using At = std::function<Halide::Expr(Halide::Expr x, Halide::Expr y)>;

/// padded: `inside` where the pixel is in the image, zero beside it.
Halide::Expr padded_stage(const At &inside, Halide::Expr x, Halide::Expr y, Halide::Expr width, Halide::Expr height);

/// The same where rows beside the image are not asked for.
Halide::Expr padded_columns_stage(const At &inside, Halide::Expr x, Halide::Expr y, Halide::Expr width);

/// Whether sums keep the order that they are written in. With a fused multiply-add the compiler keeps it of itself; without one it
/// reorders unrolled sums, otherwise in each function, and the last bit would depend on the tile.
bool keep_order(const Halide::Target &target);

/// In what a buffer of a type is given to a pipeline: float16 as uint16, its bits, where the machine has no instructions that convert it.
Halide::Type in_memory(Halide::Type type, const Halide::Target &target);

/// A number as a pipeline computes with it, and as a buffer has it; rounded to nearest where the latter is narrower.
Halide::Expr from_memory(const Halide::Expr &stored, Halide::Type computed);
Halide::Expr to_memory(const Halide::Expr &computed, Halide::Type stored);

/// depthwise(…, x, y, …) = Σ_{i,j} padded(x·sx + j·dx, y·sy + i·dy) · tap(j, i)
/// A pure zero and one update over `taps`, whose dimensions are the window's (x, y).
/// The taps are taken where `padded` is defined everywhere, so this says nothing about borders.
Halide::Func depthwise_stage(const std::vector<Halide::Var> &dimensions, Halide::Var x, Halide::Var y, const Window &window,
                             Halide::RDom taps, const At &padded, const At &tap, bool keep_order);

/// One run of the reduction over depthwise channels: the factors at each point of its domain.
struct Reduction {
    Halide::RDom domain;
    Halide::Expr depthwise, weight;
};

/// pointwise(…) = bias + Σ_q depthwise(q) · weight(q), one update for each part of the reduction.
Halide::Func pointwise_stage(const std::vector<Halide::Var> &dimensions, Halide::Expr bias, const std::vector<Reduction> &parts,
                             bool keep_order);

/// initial + (even + odd) in that order in every function, so that no bit depends on the size of a block.
Halide::Expr both_lanes(const Halide::Expr &initial, const Halide::Expr &even, const Halide::Expr &odd);

/// The product of extents, and the coordinates of an element by its place among all, the first dimension innermost: how the elements of
/// a tensor are shared among threads, whichever of its extents are small. Fewer than 2^31.
Halide::Expr count_of(const std::vector<Halide::Expr> &extents);
std::vector<Halide::Expr> point_of(const Halide::Expr &place, const std::vector<Halide::Expr> &extents);

/// clamp(x, low, high) that keeps a NaN, as TensorFlow's relu does.
Halide::Expr clamped_stage(Halide::Expr x, Halide::Expr low, Halide::Expr high);

}  // namespace sepconv
