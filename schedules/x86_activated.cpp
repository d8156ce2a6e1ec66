// The activations on x86: vectors along the row with a masked last one, which is as fast on short rows as on long ones.
#include "schedules/activated.h"

using namespace Halide;

namespace sepconv {

namespace {

// Reduces a row of a tile in `lanes` partial results side by side.
void schedule_reduction(Func reduction, Func output, Var row, RVar element, int lanes) {
    RVar vector("vector"), inside("inside");
    Var lane("lane");
    reduction.compute_at(output, row).store_in(MemoryType::Stack);
    Func partial = reduction.update().split(element, vector, inside, lanes, TailStrategy::GuardWithIf).rfactor(inside, lane);
    partial.compute_at(output, row).store_in(MemoryType::Stack).vectorize(lane);
    partial.update().vectorize(lane);
    reduction.update().atomic().vectorize(inside);
}

}  // namespace

void schedule_activated(Func output, Var x, int lanes) { output.vectorize(x, lanes, TailStrategy::Predicate); }

void schedule_activated_along_rows(Func output, Var x, Var row, Func largest, Func total, RVar element, int lanes) {
    schedule_activated(output, x, lanes);
    schedule_reduction(largest, output, row, element, lanes);
    schedule_reduction(total, output, row, element, lanes);
}

}  // namespace sepconv
