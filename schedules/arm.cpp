// The product on 64-bit ARM, whose multiply-add takes one lane of a register as a factor: the values that lie together are loaded as a
// vector and their lanes taken one after the other, so that nothing is broadcast.
#include "schedules/tiles.h"

using namespace Halide;

namespace sepconv {

void schedule_pointwise_tile_by_lane(Func output, Func accumulated, Func staged, Var filter, Var pixel, RDom blocks, RDom q, RDom tail,
                                     int lanes, int steps, int vectors, int rows) {
    schedule_product_blocks(output, accumulated, filter, pixel, blocks, lanes, vectors, rows);
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
    schedule_product_blocks_channels_first(output, accumulated, pixel, filter, lanes, vectors, rows);
    accumulated.update(0).reorder(pixel, filter, q.x).vectorize(pixel, lanes, TailStrategy::RoundUp).unroll(pixel).unroll(filter);
    staged.compute_at(accumulated, q.x).store_in(MemoryType::Stack).bound_extent(staged.args()[0], rows).vectorize(staged.args()[0]);
}

}  // namespace sepconv
