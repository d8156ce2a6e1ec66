// The activations as Halide expressions: the last stage of the layer, written once for the functions over a tile and for fused
// pipelines. sparsemax is not among them; it is plain C++ in runtime/sparsemax.h.
#pragma once

#include <string>

#include "Halide.h"

namespace sepconv {

/// One elementwise activation of a float32 expression.
///
/// @param kind     a name of enum ActivationKind (sepconv/config.h), which also says what a, b and c are for it.
/// @return float32, within 2e-6 (relative) or 1e-6 (absolute) of the exact value for every finite x; infinities and NaN become what
///         TensorFlow makes of them on a CPU. Made of arithmetic and integer operations only, so that it vectorises everywhere.
/// Anything that is no elementwise activation is a Halide user error.
Halide::Expr activated(const Halide::Expr &x, const std::string &kind, const Halide::Expr &a, const Halide::Expr &b, const Halide::Expr &c);

/// True for softmax, log_softmax and glu, which along_rows computes.
bool works_along_rows(const std::string &kind);

/// A reduction over each row: first to partial results side by side, then to one.
struct RowReduction {
    Halide::Func partial;  ///< (lane, row) over every lanes-th element; one update, over the whole vectors of the row
    Halide::Func reduced;  ///< (row)
    Halide::RDom lanes;    ///< the domain of the reduced result's update
};

/// What an activation along rows is made of. glu reduces nothing: its Funcs are undefined.
struct AlongRows {
    Halide::Expr value;    ///< the result at (x, row)
    Halide::Func last;     ///< (lane, row) the input after the last whole vector, in one update
    RowReduction largest;  ///< an integer that orders as the row's largest value does
    RowReduction total;    ///< Σ exp(input − largest value)
};

/// softmax, log_softmax or glu along the first dimension of input(x, row), as TensorFlow computes them: with the row's largest value
/// subtracted. Where that value is not finite, or the row holds a NaN, softmax and log_softmax are NaN in the whole row.
///
/// @param length  of a row of the input, for softmax and log_softmax; of a row of the output, which is half as long, for glu.
/// @param lanes   partial results of a reduction.
/// @param float64  the machine has it, and softmax and log_softmax sum in it; else in fixed point, for rows of up to 2^21 elements.
AlongRows along_rows(const Halide::Func &input, const Halide::Var &x, const Halide::Var &row, const Halide::Expr &length,
                     const std::string &kind, int lanes, bool float64 = true);

}  // namespace sepconv
