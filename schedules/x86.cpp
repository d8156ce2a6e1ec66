// Schedules for x86: SSE4.1, AVX2 with FMA and AVX-512 differ in the numbers that the table of pipelines gives, not in the shape.
#include "schedules/tiles.h"

using namespace Halide;

namespace sepconv {

void schedule_padded_tile(Func strip, Var lane, int lanes, bool narrow) {
    strip.vectorize(lane, lanes);
    const int margins = 4;
    for (int i = 0; i < margins; i++) {
        strip.update(i).vectorize(lane, lanes);
    }
    if (!narrow) {
        strip.update(margins).vectorize(lane, lanes);
    } else {
        strip.update(margins).unscheduled();
        strip.update(margins + 1).unscheduled();
    }
}

void schedule_depthwise_tile(Func scratch, Func sum, RDom taps, const std::vector<Var> &dimensions, int lanes, int together,
                             bool window_known) {
    const Var lane = dimensions[0], x = dimensions[1], y = dimensions[2], multiplier = dimensions[3], block = dimensions[4];
    Var outer("outer"), inner("inner");
    scratch.bound(lane, 0, lanes)
        .split(x, outer, inner, together, together > 1 ? TailStrategy::ShiftInwards : TailStrategy::RoundUp)
        .reorder(lane, inner, outer, y, multiplier, block)
        .vectorize(lane)
        .unroll(inner);
    sum.compute_at(scratch, outer)
        .store_in(MemoryType::Stack)
        .bound_extent(x, together)
        .bound_extent(lane, lanes)
        .vectorize(lane)
        .unroll(x);
    sum.update().reorder(lane, x, taps.x, taps.y).vectorize(lane).unroll(x);
    if (window_known) {
        sum.update().unroll(taps.x).unroll(taps.y);
    }
}

void schedule_depthwise_tile_channels_first(Func scratch, Func sum, RDom taps, const std::vector<Var> &dimensions, int lanes, int together,
                                            bool window_known) {
    const Var x = dimensions[0], y = dimensions[1], multiplier = dimensions[2], c = dimensions[3], unused = dimensions[4];
    Var xo("xo"), xi("xi"), yo("yo"), yi("yi");
    scratch.split(x, xo, xi, lanes, TailStrategy::ShiftInwards)
        .split(y, yo, yi, together, together > 1 ? TailStrategy::ShiftInwards : TailStrategy::RoundUp)
        .reorder(xi, yi, xo, yo, multiplier, c, unused)
        .vectorize(xi)
        .unroll(yi);
    sum.compute_at(scratch, xo).store_in(MemoryType::Stack).bound_extent(x, lanes).bound_extent(y, together).vectorize(x).unroll(y);
    sum.update().reorder(x, y, taps.x, taps.y).vectorize(x).unroll(y);
    if (window_known) {
        sum.update().unroll(taps.x).unroll(taps.y);
    }
}

void schedule_pointwise_tile(Func output, Func accumulated, Var filter, Var pixel, RDom q, RDom tail, int lanes, int vectors, int rows) {
    Var outer("outer"), inner("inner"), vector("vector"), pixel_outer("pixel_outer"), pixel_inner("pixel_inner");
    // Whole panels are computed; the store leaves out the filters beyond the last.
    output.split(pixel, pixel_outer, pixel_inner, rows, rows > 1 ? TailStrategy::ShiftInwards : TailStrategy::RoundUp)
        .split(filter, outer, inner, lanes, TailStrategy::PredicateStores)
        .split(outer, outer, vector, vectors, TailStrategy::RoundUp)
        .reorder(inner, vector, pixel_inner, pixel_outer, outer)
        .vectorize(inner)
        .unroll(vector)
        .unroll(pixel_inner);
    accumulated.compute_at(output, pixel_outer)
        .store_in(MemoryType::Stack)
        .bound_extent(filter, vectors * lanes)
        .bound_extent(pixel, rows)
        .vectorize(filter, lanes)
        .unroll(filter)
        .unroll(pixel);
    const int steps = 4;  // of the reduction, unrolled: hides the loop's own instructions behind the multiplications
    accumulated.update(0)
        .reorder(filter, pixel, q.x, q.y)
        .vectorize(filter, lanes, TailStrategy::RoundUp)
        .unroll(filter)
        .unroll(pixel)
        .unroll(q.x, steps);
    accumulated.update(1)
        .reorder(filter, pixel, tail.x, tail.y)
        .vectorize(filter, lanes, TailStrategy::RoundUp)
        .unroll(filter)
        .unroll(pixel);
}

void schedule_pointwise_tile_channels_first(Func output, Func accumulated, Var pixel, Var filter, RDom q, int lanes, int vectors,
                                            int rows) {
    Var outer("outer"), inner("inner"), vector("vector"), filter_outer("filter_outer"), filter_inner("filter_inner");
    // The caller passes whole groups of filters; pixels beyond the last are computed from the scratch's slack and not stored.
    output.split(filter, filter_outer, filter_inner, rows, TailStrategy::RoundUp)
        .split(pixel, outer, inner, lanes, TailStrategy::PredicateStores)
        .split(outer, outer, vector, vectors, TailStrategy::RoundUp)
        .reorder(inner, vector, filter_inner, filter_outer, outer)
        .vectorize(inner)
        .unroll(vector)
        .unroll(filter_inner);
    accumulated.compute_at(output, filter_outer)
        .store_in(MemoryType::Stack)
        .bound_extent(pixel, vectors * lanes)
        .bound_extent(filter, rows)
        .vectorize(pixel, lanes)
        .unroll(pixel)
        .unroll(filter);
    accumulated.update(0).reorder(pixel, filter, q.x).vectorize(pixel, lanes, TailStrategy::RoundUp).unroll(pixel).unroll(filter);
}

}  // namespace sepconv
