// Schedules of the activations over a tile.
#pragma once

#include "Halide.h"

namespace sepconv {

/// Elementwise, dimensions (x, row): no element is computed twice, so that the output may be the input's memory.
void schedule_activated(Halide::Func output, const Halide::Var &x, int lanes);

/// What is left of a row after its whole vectors, dimensions (lane, row).
void schedule_row_end(Halide::Func last, const Halide::Func &output, const Halide::Var &row);

/// A reduction of the rows that `output` needs it for, dimensions (lane, row) and (row): before the row's first store.
void schedule_row_reduction(Halide::Func partial, Halide::Func reduced, const Halide::RDom &lanes, const Halide::Func &output,
                            const Halide::Var &row);

}  // namespace sepconv
