// The product on 64-bit ARM, whose multiply-add takes one lane of a register as a factor: the values that lie together are loaded as a
// vector and their lanes taken one after the other, so that nothing is broadcast.
#include "schedules/tiles.h"

using namespace Halide;

namespace sepconv {

namespace {

// Accumulators in registers, `a` innermost, while the reduction's loops run outside them.
void schedule_accumulators(Func accumulated, Var a, Var b, const LoopLevel &level, int lanes, int vectors, int rows) {
    accumulated.compute_at(level)
        .store_in(MemoryType::Stack)
        .bound_extent(a, vectors * lanes)
        .bound_extent(b, rows)
        .vectorize(a, lanes)
        .unroll(a)
        .unroll(b);
}

}  // namespace

void schedule_pointwise_tile_by_lane(Func output, Func accumulated, Func staged, Var filter, Var pixel, RDom q, RDom tail, int lanes,
                                     int steps, int vectors, int rows) {
    Var outer("outer"), inner("inner"), vector("vector"), pixel_outer("pixel_outer"), pixel_inner("pixel_inner");
    // Whole panels are computed; the store leaves out the filters beyond the last.
    output.split(pixel, pixel_outer, pixel_inner, rows, rows > 1 ? TailStrategy::ShiftInwards : TailStrategy::RoundUp)
        .split(filter, outer, inner, lanes, TailStrategy::PredicateStores)
        .split(outer, outer, vector, vectors, TailStrategy::RoundUp)
        .reorder(inner, vector, pixel_inner, outer, pixel_outer)
        .vectorize(inner)
        .unroll(vector)
        .unroll(pixel_inner);
    schedule_accumulators(accumulated, filter, pixel, LoopLevel(output, outer), lanes, vectors, rows);
    // The pixels outside the steps of a block, or their sums would be spilled.
    accumulated.update(0)
        .reorder(filter, pixel, q.x, q.y)
        .vectorize(filter, lanes, TailStrategy::RoundUp)
        .unroll(filter)
        .unroll(pixel)
        .unroll(q.x);
    const Var lane = staged.args()[0], of_pixel = staged.args()[1];
    staged.compute_at(accumulated, q.y)
        .store_in(MemoryType::Stack)
        .bound_extent(lane, steps)
        .bound_extent(of_pixel, rows)
        .vectorize(lane)
        .unroll(of_pixel);
    accumulated.update(1)
        .reorder(filter, pixel, tail.x, tail.y)
        .vectorize(filter, lanes, TailStrategy::RoundUp)
        .unroll(filter)
        .unroll(pixel);
}

void schedule_pointwise_tile_channels_first_by_lane(Func output, Func accumulated, Func staged, Var pixel, Var filter, RDom q, int lanes,
                                                    int vectors, int rows) {
    Var outer("outer"), inner("inner"), vector("vector"), filter_outer("filter_outer"), filter_inner("filter_inner");
    // The caller passes whole groups of filters; pixels beyond the last are computed from the scratch's slack and not stored.
    output.split(filter, filter_outer, filter_inner, rows, TailStrategy::RoundUp)
        .split(pixel, outer, inner, lanes, TailStrategy::PredicateStores)
        .split(outer, outer, vector, vectors, TailStrategy::RoundUp)
        .reorder(inner, vector, filter_inner, filter_outer, outer)
        .vectorize(inner)
        .unroll(vector)
        .unroll(filter_inner);
    schedule_accumulators(accumulated, pixel, filter, LoopLevel(output, filter_outer), lanes, vectors, rows);
    accumulated.update(0).reorder(pixel, filter, q.x).vectorize(pixel, lanes, TailStrategy::RoundUp).unroll(pixel).unroll(filter);
    staged.compute_at(accumulated, q.x).store_in(MemoryType::Stack).bound_extent(staged.args()[0], rows).vectorize(staged.args()[0]);
}

}  // namespace sepconv
