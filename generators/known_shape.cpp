// The algorithm of known_shape.h.
#include "known_shape.h"

#include <algorithm>

#include "stages.h"

using namespace Halide;

namespace sepconv {
namespace {

int ceil_div(int a, int b) { return (a + b - 1) / b; }

// The order of the reduction: whole blocks of channels, for each the multipliers, for each the lanes; then what the last block adds.
struct Order {
    int lanes, whole, rest, multiplier;

    Order(const KnownShape &shape, const KnownTiles &tiles)
        : lanes(tiles.lanes), whole(shape.channels / lanes), rest(shape.channels % lanes), multiplier(shape.multiplier) {}

    int blocks() const { return whole + (rest > 0); }
    int steps_of_whole() const { return whole * multiplier * lanes; }

    // The depthwise channel of a step.
    Expr channel(const Expr &step) const {
        auto of = [&](const Expr &count, int size) {
            const Expr row = count / size, lane = count % size;
            return std::pair{row / multiplier * size + lane, row % multiplier};
        };
        const auto [c, m] = of(step, lanes);
        const Expr inside = c * multiplier + m;
        if (rest == 0) return inside;
        const auto [c_rest, m_rest] = of(step - steps_of_whole(), rest);
        return select(step < steps_of_whole(), inside, (whole * lanes + c_rest) * multiplier + m_rest);
    }
};

// Where the rows of a tile lie.
struct TileAt {
    Expr first, height, pixels;
    int most_height, most_pixels;

    TileAt(const KnownShape &shape, const KnownTiles &tiles, const Expr &tile) {
        const int rows = shape.y.output, count = tiles.count;
        first = rows % count == 0 ? tile * (rows / count) : tile * rows / count;
        height = rows % count == 0 ? Expr(rows / count) : (tile + 1) * rows / count - first;
        most_height = ceil_div(rows, count);
        pixels = simplify(height * shape.x.output);
        most_pixels = most_height * shape.x.output;
    }
};

}  // namespace

std::vector<int> packed_taps_extents(const KnownShape &shape, const KnownTiles &tiles) {
    return {tiles.lanes, shape.x.kernel, shape.y.kernel, Order(shape, tiles).blocks() * shape.multiplier};
}

int packed_panels_floats(const KnownShape &shape, const KnownTiles &tiles) {
    return packed_filters(shape, tiles) * shape.depthwise_channels();
}

int packed_filters(const KnownShape &shape, const KnownTiles &tiles) {
    return ceil_div(shape.filters, tiles.panel_width()) * tiles.panel_width();
}

Func packed_taps(Func kernel, const KnownShape &shape, const KnownTiles &tiles) {
    Func taps("taps");
    Var lane("lane"), i("i"), j("j"), block("block");
    const Expr channel = min(block / shape.multiplier * tiles.lanes, shape.channels - tiles.lanes) + lane;
    taps(lane, i, j, block) = kernel(block % shape.multiplier, channel, i, j);
    return taps;
}

Func packed_panels(Func kernel, const KnownShape &shape, const KnownTiles &tiles) {
    Func panels("panels");
    Var at("at"), row("row");
    const Order order(shape, tiles);
    const int width = tiles.panel_width(), steps = shape.depthwise_channels();
    const Expr line = at / width, filter = line / steps * width + at % width;
    const Expr weight = kernel(min(filter, shape.filters - 1), clamp(order.channel(line % steps), 0, steps - 1));
    panels(at, row) = select(filter < shape.filters, weight, 0.0f);
    return panels;
}

Func packed_bias(Func bias, const KnownShape &shape) {
    Func padded("bias_of_panels");
    Var filter("filter");
    padded(filter) = select(filter < shape.filters, bias(min(filter, shape.filters - 1)), 0.0f);
    return padded;
}

KnownStages known_shape(Func output, Func input, const KnownWeights &weights, const KnownShape &shape, const KnownTiles &tiles,
                        const std::function<Expr(Expr)> &activated, bool keep_order) {
    KnownStages s;
    s.lane = Var("lane"), s.x = Var("x"), s.y = Var("y"), s.strip = Var("strip"), s.block = Var("block");
    s.filter = Var("filter"), s.pixel = Var("pixel"), s.pixel_block = Var("pixel_block"), s.tile = Var("tile"), s.n = Var("n");
    Func taps = weights.depthwise, panels = weights.pointwise, bias = weights.bias;
    if (!weights.packed) {
        taps = s.taps = packed_taps(taps, shape, tiles);
        panels = s.panels = packed_panels(panels, shape, tiles);
        if (bias.defined()) bias = s.bias = packed_bias(bias, shape);
    }
    const Order order(shape, tiles);
    const TileAt of_tile(shape, tiles, s.tile);

    // A row is computed in strips of outputs that are in registers together; the last one moves back to end with the row.
    const bool whole_strips = shape.x.output % tiles.together == 0;
    auto first_of_strip = [&](const Expr &strip) {
        const Expr first = strip * tiles.together;
        return whole_strips ? first : min(likely(first), shape.x.output - tiles.together);
    };

    // Rows of the window beside the image are left out, by one test for all outputs of a block; columns beside it read zeros.
    s.window = RDom(0, shape.x.kernel, 0, shape.y.kernel, "window");
    const Expr row = s.y * shape.y.stride - shape.y.before + s.window.y * shape.y.dilation;
    if (shape.y.has_border()) s.window.where(row >= 0 && row < shape.y.input);
    const Expr channel = min(s.block / shape.multiplier * tiles.lanes, shape.channels - tiles.lanes) + s.lane;
    auto padded = [&](const Expr &i, const Expr &j) {
        auto inside = [&](const Expr &x, const Expr &y) { return input(channel, x, unsafe_promise_clamped(y, 0, shape.y.input - 1), s.n); };
        const Expr x = i + first_of_strip(s.strip) * shape.x.stride - shape.x.before, y = j - shape.y.before;
        return shape.x.has_border() ? padded_columns_stage(inside, x, y, shape.x.input) : inside(x, y);
    };
    const Window window{shape.x.kernel, shape.y.kernel, shape.x.stride, shape.y.stride, shape.x.dilation, shape.y.dilation};
    s.sum = depthwise_stage(
        {s.lane, s.x, s.strip, s.y, s.block, s.tile, s.n}, s.x, s.y, window, s.window, padded,
        [&](const Expr &i, const Expr &j) { return taps(s.lane, i, j, s.block); }, keep_order);

    s.scratch = Func("scratch");
    s.columns = RDom(0, tiles.together, 0, ceil_div(shape.x.output, tiles.together), 0, of_tile.most_height, "columns");
    if (shape.y.output % tiles.count != 0) s.columns.where(s.columns.z < of_tile.height);
    const Expr column = first_of_strip(s.columns.y) + s.columns.x;
    s.scratch(s.lane, s.pixel, s.block, s.tile, s.n) = undef<float>();
    s.scratch(s.lane, column + s.columns.z * shape.x.output, s.block, s.tile, s.n) =
        s.sum(s.lane, s.columns.x, s.columns.y, of_tile.first + s.columns.z, s.block, s.tile, s.n);

    // The product of the tile, in blocks of pixels of one height or two. The last block of a height moves back to end with its pixels.
    const int width = tiles.panel_width(), steps = shape.depthwise_channels(), whole_blocks = order.whole * shape.multiplier;
    auto weight = [&](const Expr &step) { return panels((s.filter / width * steps + step) * width + s.filter % width, 0); };
    auto first_of_block = [&](const PixelRun &run, const Expr &block, const Expr &pixels) {
        const Expr end = run.pixels > 0 ? Expr(run.first + run.pixels) : pixels;
        return min(run.first + block * run.rows, end - run.rows);
    };
    for (const PixelRun &run : tiles.runs) {
        KnownStages::Run product;
        const Expr pixel = first_of_block(run, s.pixel_block, of_tile.pixels) + s.pixel;
        product.whole = RDom(0, tiles.lanes, 0, whole_blocks, "whole");
        const RDom &whole = product.whole;
        std::vector<Reduction> reduction = {
            {whole, s.scratch(whole.x, pixel, whole.y, s.tile, s.n), weight(whole.y * tiles.lanes + whole.x)}};
        if (order.rest > 0) {
            const RDom rest = product.rest = RDom(0, order.rest, 0, shape.multiplier, "rest");
            reduction.push_back({rest, s.scratch(tiles.lanes - order.rest + rest.x, pixel, whole_blocks + rest.y, s.tile, s.n),
                                 weight(order.steps_of_whole() + rest.y * order.rest + rest.x)});
        }
        const Expr initial = bias.defined() ? bias(s.filter) : Expr(0.0f);
        product.accumulated = pointwise_stage({s.filter, s.pixel, s.pixel_block, s.tile, s.n}, initial, reduction, keep_order);
        s.runs.push_back(product);
    }

    // The tiles of each thread, one thread after the other.
    auto tile_of = [&](const RDom &pixels) { return simplify(pixels.w * tiles.tiles_of_group() + pixels.z); };
    auto store = [&](const Expr &pixel, const Expr &value) {
        const TileAt at(shape, tiles, tile_of(s.pixels));
        const Expr of_all = at.first * shape.x.output + pixel;
        if (weights.packed) {
            output(s.filter, s.pixel, s.n) = undef<float>();
            output(s.filter, of_all, s.n) = activated(value);
        } else {
            output(s.filter, s.x, s.y, s.n) = undef<float>();
            output(s.filter, of_all % shape.x.output, of_all / shape.x.output, s.n) = activated(value);
        }
    };
    if (tiles.runs.size() == 1) {
        const PixelRun &run = tiles.runs.front();
        s.pixels = RDom(0, run.rows, 0, ceil_div(of_tile.most_pixels, run.rows), 0, tiles.tiles_of_group(), 0, tiles.tile_groups, "pixels");
        const Expr tile = tile_of(s.pixels);
        const TileAt at(shape, tiles, tile);
        if (!is_const(at.pixels)) s.pixels.where(s.pixels.y * run.rows < at.pixels);
        store(first_of_block(run, s.pixels.y, at.pixels) + s.pixels.x,
              s.runs.front().accumulated(s.filter, s.pixels.x, s.pixels.y, tile, s.n));
    } else {
        s.panel = Func("panel");
        s.panel(s.filter, s.pixel, s.tile, s.n) = undef<float>();
        for (std::size_t i = 0; i < tiles.runs.size(); i++) {
            const PixelRun &run = tiles.runs[i];
            const RDom blocks = s.runs[i].blocks = RDom(0, run.rows, 0, ceil_div(run.pixels, run.rows), "blocks");
            s.panel(s.filter, first_of_block(run, blocks.y, of_tile.pixels) + blocks.x, s.tile, s.n) =
                s.runs[i].accumulated(s.filter, blocks.x, blocks.y, s.tile, s.n);
        }
        s.pixels = RDom(0, 1, 0, of_tile.most_pixels, 0, tiles.tiles_of_group(), 0, tiles.tile_groups, "pixels");
        store(s.pixels.y, s.panel(s.filter, s.pixels.y, tile_of(s.pixels), s.n));
    }
    return s;
}

}  // namespace sepconv
