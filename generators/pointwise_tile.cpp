// The pointwise stage over a tile: the matrix product of the depthwise scratch and the packed weights, with bias and clamp.
#include "Halide.h"
#include "schedules/tiles.h"
#include "stages.h"

namespace {

using namespace Halide;

class PointwiseTile : public Generator<PointwiseTile> {
public:
    /// Of every tensor, and of the sums: float32 or float16.
    GeneratorParam<Type> type{"type", Float(32)};
    GeneratorParam<bool> channels_first{"channels_first", false};
    /// Floats in a vector: filters, or for channels_first pixels.
    GeneratorParam<int> lanes{"lanes", 8};
    /// Floats from one pixel of the scratch to the next: the channels in a block. channels_last only.
    GeneratorParam<int> pixel_stride{"pixel_stride", 8};
    /// Accumulators: this many vectors, times this many pixels (channels_first: filters).
    GeneratorParam<int> vectors{"vectors", 2};
    GeneratorParam<int> rows{"rows", 6};
    /// Whether each filter has two lanes, one for even steps and one for odd: `lanes` is then half of a vector's. channels_last only.
    GeneratorParam<bool> paired{"paired", false};

    /// channels_last: (lane, pixel, block·multiplier). channels_first: (pixel, depthwise channel, 0).
    Input<Buffer<void, 3>> scratch{"scratch"};
    /// (filter % width, reduction step, filter / width): channels_last with width = vectors·lanes, channels_first with width = rows;
    /// the groups of `rows` filters may then be neighbours in a wider panel. With `paired` two steps have their weights for the `lanes`
    /// filters of a vector in 2·lanes places, which even and odd steps take by turns: filter i in the places i and 2·lanes - 1 - i.
    Input<Buffer<void, 3>> panel{"panel"};
    Input<Buffer<void, 1>> bias{"bias"};
    /// channels_last: the reduction is `full` blocks of all lanes, then `tails` blocks of which `tail_lanes` count, from `tail_first` on;
    /// with `paired` an even number. channels_first: `full` depthwise channels; the rest is not read.
    Input<int> full{"full"}, tails{"tails"}, tail_first{"tail_first"}, tail_lanes{"tail_lanes"};
    Input<float> low{"low"}, high{"high"};
    /// channels_last: (filter, pixel of a block, the block's first pixel), whose last two strides are both a pixel's; the last block ends
    /// with the last pixel. channels_first: (pixel, filter, 0). Pixels are flattened across the rows of the tile.
    Output<Buffer<void, 3>> output{"output"};

    void configure() {
        scratch.set_type(type);
        panel.set_type(type);
        bias.set_type(type);
        output.set_type(type);
    }

    void generate() {
        const Expr lowest = cast(type, low), highest = cast(type, high);
        if (channels_first) {
            q = RDom(0, full, "q");
            staged(i, j, k) = panel(i, j, k);
            accumulated = sepconv::pointwise_stage({pixel, filter}, bias(filter),
                                                   {{q, scratch(pixel, q.x, 0), staged(filter % int(rows), q.x, filter / int(rows))}},
                                                   sepconv::keep_order(target));
            output(pixel, filter, unused) = sepconv::clamped_stage(accumulated(pixel, filter), lowest, highest);
        } else {
            const int width = int(vectors) * int(lanes);
            const bool keep_order = sepconv::keep_order(target);
            const Expr whole = full * int(pixel_stride);  // steps of whole blocks
            if (paired) {
                const int both = int(lanes) * 2;
                q = RDom(0, int(pixel_stride) / 2, 0, full, "q");
                tail = RDom(0, tail_lanes / 2, 0, tails, "tail");
                auto weight = [&](const Expr &step) { return panel(vector * both + lane, step, group); };
                pairs = sepconv::pointwise_stage({lane, vector, pixel, group}, cast(type, 0),
                                                 {{q, scratch(q.x * 2 + lane % 2, pixel, q.y), weight(q.y * int(pixel_stride) + q.x * 2)},
                                                  {tail, scratch(tail_first + tail.x * 2 + lane % 2, pixel, full + tail.y),
                                                   weight(whole + tail.y * tail_lanes + tail.x * 2)}},
                                                 keep_order);
                const Expr place = filter % int(lanes), of_panel = filter % width / int(lanes);
                accumulated(filter, pixel) = sepconv::both_lanes(bias(filter), pairs(place, of_panel, pixel, filter / width),
                                                                 pairs(both - 1 - place, of_panel, pixel, filter / width));
            } else {
                q = RDom(0, int(pixel_stride), 0, full, "q");
                tail = RDom(0, tail_lanes, 0, tails, "tail");
                staged(i, j, k) = scratch(i, j, k);
                auto weight = [&](const Expr &step) { return panel(filter % width, step, filter / width); };
                accumulated = sepconv::pointwise_stage(
                    {filter, pixel}, bias(filter),
                    {{q, staged(q.x, pixel, q.y), weight(q.y * int(pixel_stride) + q.x)},
                     {tail, scratch(tail_first + tail.x, pixel, full + tail.y), weight(whole + tail.y * tail_lanes + tail.x)}},
                    keep_order);
            }
            // The places of a block's pixels are the same from block to block, as a single dimension would not tell the compiler.
            output(filter, i, pixel) = undef(type);
            const Expr pixels = output.dim(2).extent();
            blocks = RDom(0, int(rows), 0, (pixels + int(rows) - 1) / int(rows), "blocks");
            const Expr first = min(blocks.y * int(rows), pixels - int(rows));
            output(filter, blocks.x, first) = sepconv::clamped_stage(accumulated(filter, first + blocks.x), lowest, highest);
        }
    }

    void schedule() {
        for (int i = 0; i < 3; i++) {
            scratch.dim(i).set_min(0);
            panel.dim(i).set_min(0);
        }
        const int width = channels_first ? int(rows) : int(vectors) * int(lanes);
        panel.dim(0).set_extent(width).set_stride(1);
        // channels_first: a group of filters may be part of a wider panel.
        if (!channels_first) panel.dim(1).set_stride(width);
        bias.dim(0).set_min(0);
        scratch.dim(0).set_stride(1);
        output.dim(0).set_min(0).set_stride(1);
        output.dim(1).set_min(0);
        output.dim(2).set_min(0);
        if (channels_first) output.dim(2).set_extent(1);
        if (!channels_first) {
            scratch.dim(0).set_extent(pixel_stride);
            scratch.dim(1).set_stride(pixel_stride);
        }
        // Where nothing is by lane, `staged` is read where it lies.
        const bool by_lane = sepconv::multiplies_by_lane(target);
        if (channels_first && by_lane) {
            sepconv::schedule_pointwise_tile_channels_first_by_lane(output, accumulated, staged, pixel, filter, q, lanes, vectors, rows);
        } else if (channels_first) {
            sepconv::schedule_pointwise_tile_channels_first(output, accumulated, pixel, filter, q, lanes, vectors, rows);
        } else if (paired) {
            sepconv::schedule_pointwise_tile_paired(output, accumulated, pairs, filter, pixel, blocks, q, tail, lanes, vectors, rows);
        } else if (by_lane) {
            sepconv::schedule_pointwise_tile_by_lane(output, accumulated, staged, filter, pixel, blocks, q, tail, lanes, pixel_stride,
                                                     vectors, rows);
        } else {
            sepconv::schedule_pointwise_tile(output, accumulated, filter, pixel, blocks, q, tail, lanes, vectors, rows);
        }
    }

private:
    Var filter{"filter"}, pixel{"pixel"}, lane{"lane"}, vector{"vector"}, group{"group"}, i{"i"}, j{"j"}, k{"k"}, unused{"unused"};
    RDom q, tail, blocks;
    Func staged{"staged"}, pairs, accumulated{"accumulated"};
};

}  // namespace

HALIDE_REGISTER_GENERATOR(PointwiseTile, pointwise_tile)
