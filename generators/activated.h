// The activations as Halide expressions: the last stage of the layer, written once for the functions over a tile and for fused
// pipelines.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "Halide.h"

namespace sepconv {

/// One elementwise activation of a float32 expression.
///
/// @param kind     a name of enum ActivationKind (sepconv/config.h), which also says what a, b and c are for it.
/// @return float32, within 2e-6 (relative) or 1e-6 (absolute) of the exact value for every finite x; infinities and NaN become what
///         TensorFlow makes of them on a CPU. Made of arithmetic and integer operations only, so that it vectorises everywhere.
/// Anything that is no elementwise activation is a Halide user error.
Halide::Expr activated(const Halide::Expr &x, const std::string &kind, const Halide::Expr &a, const Halide::Expr &b, const Halide::Expr &c);

/// True for softmax, log_softmax, sparsemax and glu, which along_axes computes.
bool works_along_axes(const std::string &kind);

/// What an activation along axes reads, and which of its dimensions, innermost first, are axes.
struct AxesInput {
    std::function<Halide::Expr(const std::vector<Halide::Expr> &)> at;
    std::vector<Halide::Var> dimensions;
    std::vector<bool> along;
    std::vector<Halide::Expr> extents;  ///< of the output; for glu its axis' is half the input's

    /// The innermost dimension that is no axis: that of `column` whose elements can be computed side by side.
    int beside() const;
};

/// A reduction over the axes, to one result for each point of the other dimensions. Along the innermost dimension, where that is one,
/// first to partial results side by side and from these to one for each row; then over the other axes, where there are any.
struct AxesReduction {
    Halide::Func partial;  ///< (lane, dimensions but the innermost): over every lanes-th element; one update, over the row's whole vectors
    Halide::RDom lanes;    ///< the domain of the update of `row`
    Halide::Func row;      ///< (dimensions but the innermost)
    Halide::Func whole;    ///< (dimensions that are no axes)
    Halide::RDom axes;     ///< the domain of the update of `whole`

    Halide::Func result() const { return whole.defined() ? whole : row; }
};

/// What an activation along axes is made of. glu reduces nothing: its Funcs are undefined.
struct AlongAxes {
    Halide::Expr value;     ///< the result at the input's dimensions
    Halide::Func last;      ///< (lane, dimensions but the innermost) the input after a row's last whole vector, in one update
    Halide::Func column;    ///< the input with the dimension `beside` innermost; undefined where rows are reduced along themselves
    AxesReduction largest;  ///< an integer that orders as the largest value does
    AxesReduction total;    ///< Σ exp(input − largest value)

    // Of sparsemax, which reduces columns only.
    Halide::Func below;                 ///< as `column`: input − largest value
    Halide::Func search;                ///< (dimensions that are no axes, step): the bits of the threshold before the step, and its sum
    Halide::RDom steps;                 ///< the domain of its update: element, step
    std::vector<Halide::Func> support;  ///< Σ of the values above the threshold, and their number, each from the threshold before
};

/// softmax, log_softmax, sparsemax or glu along some of a tensor's dimensions, as TensorFlow computes them: with the largest value
/// subtracted. Where that value is not finite, or one is NaN, softmax and log_softmax are NaN along all of the axes, and so is sparsemax
/// but for +infinity, which makes all values infinite that are no −infinity.
///
/// @param lanes    partial results of a reduction along rows; 0: none, which autoschedulers take.
/// @param float64  the machine has it, and sums are taken in it; else in fixed point, less exact above 2^21 elements.
/// @param whole_vectors  `column` goes on beyond the end of its first dimension, with the last element again.
AlongAxes along_axes(const AxesInput &input, const std::string &kind, int lanes, bool float64 = true, bool whole_vectors = false);

}  // namespace sepconv
