// Schedules for x86: SSE4.1, AVX2 with FMA and AVX-512 differ in the numbers that the table of pipelines gives, not in the shape.
#include "schedules/activated.h"
#include "schedules/registers.h"
#include "schedules/separable_conv2d.h"
#include "schedules/tiles.h"

#include <algorithm>

using namespace Halide;

namespace sepconv {

namespace {

constexpr int steps_unrolled = 4;  // of the reduction: hides the loop's own instructions behind the multiplications

void schedule_sum(Stage sum, Var filter, Var pixel, const RDom &q, int lanes) {
    sum.reorder(filter, pixel, q.x, q.y).vectorize(filter, lanes, TailStrategy::RoundUp).unroll(filter).unroll(pixel);
}

}  // namespace

void schedule_pointwise_tile(Func output, Func accumulated, Var filter, Var pixel, RDom blocks, RDom q, RDom tail, int lanes, int vectors,
                             int rows) {
    schedule_product_blocks(output, accumulated, filter, pixel, blocks, lanes, vectors, rows);
    schedule_sum(accumulated.update(0), filter, pixel, q, lanes);
    accumulated.update(0).unroll(q.x, steps_unrolled);
    schedule_sum(accumulated.update(1), filter, pixel, tail, lanes);
}

void schedule_pointwise_tile_paired(Func output, Func accumulated, Func pairs, Var filter, Var pixel, RDom blocks, RDom q, RDom tail,
                                    int lanes, int vectors, int rows) {
    const LoopLevel block = schedule_product_blocks(output, accumulated, filter, pixel, blocks, lanes, vectors, rows);
    const Var lane = pairs.args()[0], vector = pairs.args()[1], group = pairs.args()[3];
    pairs.compute_at(block)
        .store_in(MemoryType::Stack)
        .bound_extent(lane, 2 * lanes)
        .bound_extent(vector, vectors)
        .bound_extent(pixel, rows)
        .bound_extent(group, 1)
        .vectorize(lane)
        .unroll(vector)
        .unroll(pixel);
    auto schedule_sum = [&](int update, const RDom &steps) {
        return pairs.update(update).reorder(lane, vector, pixel, steps.x, steps.y, group).vectorize(lane).unroll(vector).unroll(pixel);
    };
    schedule_sum(0, q).unroll(q.x, steps_unrolled / 2);
    schedule_sum(1, tail);
}

void schedule_pointwise_tile_channels_first(Func output, Func accumulated, Var pixel, Var filter, RDom q, int lanes, int vectors,
                                            int rows) {
    schedule_product_blocks_channels_first(output, accumulated, pixel, filter, lanes, vectors, rows);
    accumulated.update(0).reorder(pixel, filter, q.x).vectorize(pixel, lanes, TailStrategy::RoundUp).unroll(pixel).unroll(filter);
}

namespace {

// Pixels in a block of two vectors of filters: accumulators, two vectors of weights and one broadcast fill the registers.
int block_rows(const Target &target) { return target.has_feature(Target::AVX512_Skylake) ? 14 : target.has_feature(Target::AVX2) ? 6 : 4; }

// As many rows of blocks as divide an extent with the least waste.
int rows_within(int extent, int most) {
    int best = 1;
    double least = 1e9;
    for (int rows = std::min(extent, most); rows >= 1; rows--) {
        const double cost = (extent + rows - 1) / rows * (rows + 1.0);  // the block's own loop and stores count as a row
        if (cost < least) least = cost, best = rows;
    }
    return best;
}

}  // namespace

void schedule_separable_conv2d(Func output, const LayerStages &stages, const std::vector<Var> &dimensions, Var q, const LayerSizes &sizes,
                               const Target &target) {
    const Var filter = dimensions[0], x = dimensions[1], y = dimensions[2], n = dimensions[3];
    const int natural = target.natural_vector_size<float>();
    Func pointwise = stages.pointwise, depthwise = stages.depthwise;
    Var xo("xo"), xi("xi"), fo("fo"), fi("fi"), fv("fv"), lane("lane"), to("to"), ti("ti"), yo("yo");
    if (sizes.width == 0 || sizes.height == 0 || sizes.channels == 0 || sizes.filters == 0) {
        // Sizes open: correct for all of them, as fast as guards allow. The functions over a tile are the fast form for open sizes.
        output.reorder(filter, x, y, n).vectorize(filter, natural, TailStrategy::GuardWithIf);
        pointwise.compute_at(output, x).vectorize(filter, natural, TailStrategy::GuardWithIf);
        pointwise.update().reorder(filter, stages.reduction.x, x, y, n).vectorize(filter, natural, TailStrategy::GuardWithIf);
        depthwise.compute_at(output, x).vectorize(q, natural, TailStrategy::GuardWithIf);
        depthwise.update().reorder(q, stages.taps.x, stages.taps.y, x, y, n).vectorize(q, natural, TailStrategy::GuardWithIf);
        return;
    }

    const int filter_lanes = lanes_within(sizes.filters, natural), channel_lanes = lanes_within(sizes.channels * sizes.multiplier, natural);
    const int vectors = sizes.filters >= 2 * filter_lanes ? 2 : 1, rows = rows_within(sizes.width, block_rows(target));
    const int together = std::min(sizes.width, 7);
    output.split(x, xo, xi, rows, TailStrategy::ShiftInwards)
        .split(filter, fo, fi, vectors * filter_lanes, TailStrategy::ShiftInwards)
        .split(fi, fv, fi, filter_lanes)
        .reorder(fi, fv, xi, xo, fo, y, n)
        .vectorize(fi)
        .unroll(fv)
        .unroll(xi);
    pointwise.compute_at(output, xo)
        .store_in(MemoryType::Stack)
        .bound_extent(filter, vectors * filter_lanes)
        .bound_extent(x, rows)
        .vectorize(filter, filter_lanes)
        .unroll(filter)
        .unroll(x);
    pointwise.update().reorder(filter, x, stages.reduction.x).vectorize(filter, filter_lanes).unroll(filter).unroll(x);
    Func tile = depthwise.in(pointwise);
    tile.compute_at(output, y)
        .split(q, q, lane, channel_lanes, TailStrategy::ShiftInwards)
        .split(x, to, ti, together, TailStrategy::ShiftInwards)
        .reorder(lane, ti, to, q)
        .vectorize(lane)
        .unroll(ti);
    depthwise.compute_at(tile, to).store_in(MemoryType::Stack).bound_extent(q, channel_lanes).vectorize(q).unroll(x);
    depthwise.update().reorder(q, x, stages.taps.x, stages.taps.y).vectorize(q).unroll(x);
    constexpr int unrolled_taps = 25;
    if (sizes.window <= unrolled_taps) depthwise.update().unroll(stages.taps.x).unroll(stages.taps.y);
}

void schedule_separable_conv2d_channels_first(Func output, const LayerStages &stages, const std::vector<Var> &dimensions, Var q,
                                              const LayerSizes &sizes, const Target &target) {
    const Var x = dimensions[0], y = dimensions[1], filter = dimensions[2], n = dimensions[3];
    const int natural = target.natural_vector_size<float>();
    Func pointwise = stages.pointwise, depthwise = stages.depthwise, padded = stages.padded;
    if (sizes.width == 0 || sizes.height == 0 || sizes.channels == 0 || sizes.filters == 0) {
        const TailStrategy guard = TailStrategy::GuardWithIf;
        output.reorder(x, filter, y, n).vectorize(x, natural, guard);
        pointwise.compute_at(output, filter);
        depthwise.compute_at(output, y);
        pointwise.vectorize(x, natural, guard);
        pointwise.update().reorder(x, stages.reduction.x, y, filter, n).vectorize(x, natural, guard);
        depthwise.vectorize(x, natural, guard);
        depthwise.update().reorder(x, stages.taps.x, stages.taps.y, y, q, n).vectorize(x, natural, guard);
        return;
    }

    const int lanes = lanes_within(sizes.width, natural), most = target.has_feature(Target::AVX512_Skylake) ? 14 : 6;
    const int vectors = sizes.width >= 2 * lanes ? 2 : 1, rows = rows_within(sizes.filters, most);
    Var xo("xo"), xi("xi"), xv("xv"), fo("fo"), fi("fi"), to("to"), ti("ti");
    output.split(x, xo, xi, vectors * lanes, TailStrategy::ShiftInwards)
        .split(xi, xv, xi, lanes)
        .split(filter, fo, fi, rows, TailStrategy::ShiftInwards)
        .reorder(xi, xv, fi, fo, xo, y, n)
        .vectorize(xi)
        .unroll(xv)
        .unroll(fi);
    pointwise.compute_at(output, fo)
        .store_in(MemoryType::Stack)
        .bound_extent(x, vectors * lanes)
        .bound_extent(filter, rows)
        .vectorize(x, lanes)
        .unroll(x)
        .unroll(filter);
    pointwise.update().reorder(x, filter, stages.reduction.x).vectorize(x, lanes).unroll(x).unroll(filter);
    Func tile = depthwise.in(pointwise);
    tile.compute_at(output, y).split(x, to, ti, lanes, TailStrategy::ShiftInwards).reorder(ti, to, q).vectorize(ti);
    depthwise.compute_at(tile, to).store_in(MemoryType::Stack).bound_extent(x, lanes).vectorize(x);
    depthwise.update().reorder(x, stages.taps.x, stages.taps.y).vectorize(x);
    constexpr int unrolled_taps = 25;
    if (sizes.window <= unrolled_taps) depthwise.update().unroll(stages.taps.x).unroll(stages.taps.y);
    // A copy of one channel's rows with its border: vectors along a row would otherwise be gathered at both ends.
    padded.compute_at(tile, q).vectorize(x, lanes, TailStrategy::GuardWithIf);
}

}  // namespace sepconv
