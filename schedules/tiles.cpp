// Schedules of the functions over a tile that are the same on every CPU: the copies, the depthwise stage and the product's blocks. CPUs
// differ in the numbers that the table of pipelines gives.
#include "schedules/tiles.h"

using namespace Halide;

namespace sepconv {

void schedule_padded_tile(Func strip, Var lane, Var block, RVar inside_x, RVar inside_y, int lanes, bool by_value) {
    strip.vectorize(lane, lanes);
    const int margins = 4;
    for (int i = 0; i < margins; i++) {
        strip.update(i).vectorize(lane, lanes);
    }
    if (!by_value) {
        strip.update(margins).reorder(lane, inside_x, block, inside_y).vectorize(lane, lanes);
    } else {
        strip.update(margins).unscheduled();
        strip.update(margins + 1).unscheduled();
    }
}

void schedule_copied_tile(Func strip, Var x, int lanes) { strip.vectorize(x, lanes, TailStrategy::ShiftInwards); }

void schedule_transposed_tile(Func from, Func to, Var i, Var j, int lanes) {
    if (lanes == 1) return;
    Var io("io"), ii("ii"), jo("jo"), ji("ji");
    to.split(i, io, ii, lanes, TailStrategy::ShiftInwards)
        .split(j, jo, ji, lanes, TailStrategy::ShiftInwards)
        .reorder(ii, ji, io, jo)
        .vectorize(ii)
        .unroll(ji);
    Func block = from.in(to);
    const std::vector<Var> dimensions = block.args();  // j, k, i
    block.compute_at(to, io).store_in(MemoryType::Stack).vectorize(dimensions[0]).unroll(dimensions[2]);
}

namespace {

// In the image, other channels lie between the pixels of a block: all blocks of a few pixels come before the next pixels, so that memory
// is read in its order, and a few rows together, so that a line is read once for all of them.
constexpr int rows_of_band = 4;

}  // namespace

void schedule_depthwise_tile(Func scratch, Func sum, RDom taps, const std::vector<Var> &dimensions, int lanes, int together,
                             bool window_known, bool one_by_one, bool apart) {
    const Var lane = dimensions[0], x = dimensions[1], y = dimensions[2], multiplier = dimensions[3], block = dimensions[4];
    Var outer("outer"), inner("inner"), band("band"), row("row");
    scratch.bound(lane, 0, lanes)
        .split(x, outer, inner, together, together > 1 ? TailStrategy::ShiftInwards : TailStrategy::RoundUp)
        .vectorize(lane)
        .unroll(inner);
    if (one_by_one) {
        // A block's rows are next to each other, and in the first-level cache.
        scratch.reorder(lane, inner, outer, y, multiplier, block);
        sum.compute_at(scratch, outer);
    } else {
        scratch.split(y, band, row, rows_of_band, TailStrategy::GuardWithIf);
        if (apart) {
            // Rows that share few of their inputs come after the blocks: what those rows read of one block falls into few sets of the cache
            // where its pixels lie a power of two apart.
            scratch.reorder(lane, inner, block, row, outer, band, multiplier);
            sum.compute_at(scratch, block);
        } else {
            scratch.reorder(lane, inner, row, block, outer, band, multiplier);
            sum.compute_at(scratch, row);
        }
    }
    sum.store_in(MemoryType::Stack).bound_extent(x, together).bound_extent(lane, lanes).vectorize(lane).unroll(x);
    sum.update().reorder(lane, x, taps.x, taps.y).vectorize(lane).unroll(x);
    if (window_known) {
        sum.update().unroll(taps.x).unroll(taps.y);
    }
}

void schedule_depthwise_fill(Func scratch, int update, const DepthwiseFill &fill, const std::vector<Var> &dimensions, int lanes,
                             int together, int kernel, bool rows_first) {
    const Var lane = dimensions[0], x = dimensions[1], y = dimensions[2], strip = dimensions[3], multiplier = dimensions[4],
              block = dimensions[5];
    const RDom &at = fill.outputs;
    RVar band("band"), row("row");
    Func sum = fill.sum;
    // The tests for the image's edges are for a whole strip or a row of the window: no loop needs versions of its own for them.
    Stage stage = scratch.bound(lane, 0, lanes).update(update).never_partition_all();
    constexpr int rows_of_fill = 8;
    stage.split(at.z, band, row, rows_of_fill, TailStrategy::GuardWithIf).vectorize(lane).unroll(at.x);
    if (rows_first) {
        stage.reorder(lane, at.x, row, block, at.y, band, multiplier);
        sum.compute_at(scratch, row);
    } else {
        stage.reorder(lane, at.x, block, row, at.y, band, multiplier);
        sum.compute_at(scratch, block);
    }
    sum.store_in(MemoryType::Stack)
        .bound_extent(lane, lanes)
        .bound_extent(x, together)
        .bound_extent(y, 1)
        .bound_extent(strip, 1)
        .bound_extent(multiplier, 1)
        .bound_extent(block, 1)
        .vectorize(lane)
        .unroll(x);
    sum.update().never_partition_all().reorder(lane, x, fill.taps.x, fill.taps.y).vectorize(lane).unroll(x).unroll(fill.taps.x);
    // Written out, every column of every row of the window has a pointer of its own, which is loaded anew for each load of the image. That
    // pays only for few of them that stay the same from row to row.
    constexpr int few_rows = 3;
    if (rows_first && kernel <= few_rows) sum.update().unroll(fill.taps.y);
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

namespace {

// Accumulators in registers, `a` innermost.
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

LoopLevel schedule_product_blocks(Func output, Func accumulated, Var filter, Var pixel, RDom blocks, int lanes, int vectors, int rows) {
    Var outer("outer"), inner("inner"), vector("vector");
    // Whole panels are computed; the store leaves out the filters beyond the last.
    output.update()
        .allow_race_conditions()
        .split(filter, outer, inner, lanes, TailStrategy::PredicateStores)
        .split(outer, outer, vector, vectors, TailStrategy::RoundUp)
        .reorder(inner, vector, blocks.x, outer, blocks.y)
        .vectorize(inner)
        .unroll(vector)
        .unroll(blocks.x);
    const LoopLevel block(output, outer);
    schedule_accumulators(accumulated, filter, pixel, block, lanes, vectors, rows);
    return block;
}

void schedule_product_blocks_channels_first(Func output, Func accumulated, Var pixel, Var filter, int lanes, int vectors, int rows) {
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
}

}  // namespace sepconv
