// Schedules of the activations over a tile.
#pragma once

#include "Halide.h"

namespace sepconv {

/// Elementwise, dimensions (x, row): no element is computed twice, so that the output may be the input's memory.
void schedule_activated(Halide::Func output, Halide::Var x, int lanes);

/// Along rows, dimensions (x, row): both reductions of a row come before its first store.
void schedule_activated_along_rows(Halide::Func output, Halide::Var x, Halide::Var row, Halide::Func largest, Halide::Func total,
                                   Halide::RVar element, int lanes);

}  // namespace sepconv
