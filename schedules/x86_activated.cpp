// The activations on x86: vectors along the row with a masked last one, which is as fast on short rows as on long ones.
#include "schedules/activated.h"

using namespace Halide;

namespace sepconv {

void schedule_activated(Func output, const Var &x, int lanes) { output.vectorize(x, lanes, TailStrategy::Predicate); }

void schedule_row_end(Func last, const Func &output, const Var &row) {
    const Var lane(last.args()[0]);
    last.compute_at(output, row).store_in(MemoryType::Stack).vectorize(lane);
    last.update().vectorize(lane);
}

// Without a masked store the partial results stay in a register from the first vector of the row to the last.
void schedule_row_reduction(Func partial, Func reduced, const RDom &lanes, const Func &output, const Var &row) {
    const Var lane(partial.args()[0]);
    partial.compute_at(output, row).store_in(MemoryType::Stack).vectorize(lane);
    partial.update().vectorize(lane);
    reduced.compute_at(output, row).store_in(MemoryType::Stack).update().atomic().vectorize(lanes.x);
}

}  // namespace sepconv
