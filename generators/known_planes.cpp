// The algorithm of known_planes.h.
#include "known_planes.h"

#include <algorithm>
#include <set>

#include "schedules/registers.h"
#include "stages.h"

using namespace Halide;

namespace sepconv {
namespace {

// Rows of the output that a tile has: as many in each as divide evenly, or one more.
struct Rows {
    Expr first, count;
    int most, fewest;

    Rows(const KnownShape &shape, int tiles, const Expr &tile) : most(ceil_div(shape.y.output, tiles)), fewest(shape.y.output / tiles) {
        const int rows = shape.y.output;
        first = most == fewest ? tile * most : tile * rows / tiles;
        count = most == fewest ? Expr(most) : (tile + 1) * rows / tiles - first;
    }
};

// The columns of a phase of the stride that lie in the image: the first one's place among those of the phase, how many, and which it is.
struct Phase {
    int phase, place, count, column;
};

std::vector<Phase> phases(const KnownAxis &axis, int columns) {
    std::set<int> read;
    for (int i = 0; i < axis.kernel; i++) read.insert(i * axis.dilation % axis.stride);
    std::vector<Phase> found;
    for (const int phase : read) {
        // Column `column` of the image is at column + before of the strip.
        const int place = std::max(0, ceil_div(axis.before - phase, axis.stride)), column = place * axis.stride + phase - axis.before;
        const int inside = column < axis.input ? ceil_div(axis.input - column, axis.stride) : 0;
        found.push_back({phase, place, std::clamp(columns - place, 0, inside), column});
    }
    return found;
}

// The strip of a channel: what a tile reads of it, with zeros beside the image.
class Strip {
public:
    Strip(PlaneStages &s, Func input, const KnownShape &shape, const PlaneTiles &tiles, const Rows &rows)
        : s_(s), input_(std::move(input)), shape_(shape), tiles_(tiles), height_(shape.y.span(rows.most)) {
        const Expr from = simplify(rows.first * shape.y.stride - shape.y.before);
        height_of_tile_ = simplify((rows.count - 1) * shape.y.stride + shape.y.span(1));
        begin_ = 0, count_ = height_of_tile_, row_ = from;
        if (shape.y.has_border()) {
            begin_ = max(-from, 0), row_ = max(from, 0);
            count_ = max(min(from + height_of_tile_, shape.y.input) - row_, 0);
        }
    }

    void define() {
        s_.strip = Func("strip");
        s_.strip(s_.x, s_.phase, s_.y, s_.c, s_.tile, s_.n) = undef(shape_.sums);
        if (shape_.y.has_border()) zero_rows();
        for (const Phase &phase : phases(shape_.x, tiles_.strip_pitch)) {
            zero_columns(phase.phase, 0, phase.place);
            zero_columns(phase.phase, phase.place + phase.count, tiles_.strip_pitch);
            copy(phase);
        }
    }

private:
    // Vectors of some columns, of which the last moves back to end with them.
    struct Vectors {
        int first, end, lanes;
        int count() const { return ceil_div(end - first, lanes); }
        Expr column(const RDom &at) const {
            const Expr block = at.y * lanes;
            return first + ((end - first) % lanes == 0 ? block : min(block, end - first - lanes)) + at.x;
        }
    };

    void add(const RDom &at, const Expr &column, int phase, const Expr &row, const Expr &value) {
        const Expr place = unsafe_promise_clamped(row, 0, height_ - 1);
        s_.strip(column, phase, place, s_.c, s_.tile, s_.n) = value;
        s_.copies.push_back(at);
    }

    void zero_rows() {
        const Vectors all = {0, tiles_.strip_pitch, tiles_.lanes};
        for (const Phase &phase : phases(shape_.x, tiles_.strip_pitch)) {
            RDom at(0, tiles_.lanes, 0, all.count(), 0, height_, "zero_rows");
            at.where(at.z < height_of_tile_ - count_);
            add(at, all.column(at), phase.phase, select(at.z < begin_, at.z, at.z + count_), cast(shape_.sums, 0));
        }
    }

    // May go on into the image's columns, which are written later.
    void zero_columns(int phase, int first, int end) {
        if (first >= end) return;
        const int lanes = tiles_.lanes, vectors = ceil_div(end - first, lanes);
        Vectors zeros = {first, first + vectors * lanes, lanes};
        if (zeros.end > tiles_.strip_pitch) zeros = {end - vectors * lanes, end, lanes};
        if (zeros.first < 0) zeros = {0, tiles_.strip_pitch, lanes};
        RDom at(0, lanes, 0, zeros.count(), 0, height_, "zero_columns");
        at.where(at.z < count_);
        add(at, zeros.column(at), phase, begin_ + at.z, cast(shape_.sums, 0));
    }

    void copy(const Phase &phase) {
        if (phase.count == 0) return;
        const Vectors inside = {phase.place, phase.place + phase.count, lanes_within(phase.count, tiles_.lanes)};
        RDom at(0, inside.lanes, 0, inside.count(), 0, height_, "copy");
        at.where(at.z < count_);
        const Expr place = inside.column(at), column = (place - phase.place) * shape_.x.stride + phase.column;
        const Expr row = unsafe_promise_clamped(row_ + at.z, 0, shape_.y.input - 1);
        add(at, place, phase.phase, begin_ + at.z, from_memory(input_(column, row, s_.c, s_.n), shape_.sums));
    }

    PlaneStages &s_;
    Func input_;
    const KnownShape &shape_;
    const PlaneTiles &tiles_;
    int height_;  // rows that a tile reads at most
    Expr height_of_tile_;
    Expr begin_, count_, row_;  // of these, those in the image: the first, how many, and which it is
};

}  // namespace

std::vector<int> plane_taps_extents(const KnownShape &shape) { return {shape.x.kernel, shape.y.kernel, shape.depthwise_channels(), 1}; }

Func plane_taps(Func kernel, const KnownShape &shape) {
    Func taps("taps");
    Var i("i"), j("j"), channel("channel"), unused("unused");
    taps(i, j, channel, unused) = kernel(channel % shape.multiplier, channel / shape.multiplier, i, j);
    return taps;
}

PlaneStages known_planes(Func output, Func input, const KnownWeights &weights, const KnownShape &shape, const KnownTiles &tiles,
                         const std::function<Expr(Expr)> &activated, bool keep_order, OutputMemory memory) {
    const PlaneTiles &cut = *tiles.planes;
    PlaneStages s;
    s.x = Var("x"), s.phase = Var("phase"), s.y = Var("y"), s.c = Var("c"), s.band = Var("band"), s.vector = Var("vector");
    s.channel = Var("channel"), s.pixel = Var("pixel"), s.filter = Var("filter"), s.panel = Var("panel"), s.block = Var("block");
    s.row = Var("row"), s.tile = Var("tile"), s.n = Var("n");
    Func taps = weights.depthwise, panels = weights.pointwise, bias = weights.bias;
    if (!weights.packed) {
        taps = s.taps = plane_taps(taps, shape);
        panels = s.panels = packed_panels(panels, shape, tiles);
        if (bias.defined()) bias = s.bias = packed_bias(bias, shape);
    }
    const int width = shape.x.output, channels = shape.depthwise_channels();
    const Rows rows(shape, tiles.count, s.tile);

    // The depthwise stage. The last vector of a row moves back to end with it; a row shorter than a vector goes on beyond its end, where
    // the next row is written later. The last band of rows moves back likewise.
    const bool direct = cut.strip_pitch == 0;
    if (!direct) Strip(s, input, shape, cut, rows).define();
    auto first_of_vector = [&](const Expr &vector) {
        if (width % cut.lanes == 0 || width < cut.lanes) return simplify(vector * cut.lanes);
        return min(vector * cut.lanes, width - cut.lanes);
    };
    auto first_of_band = [&](const Expr &band) {
        if (rows.most == rows.fewest && rows.most % cut.together == 0) return simplify(band * cut.together);
        return min(band * cut.together, rows.count - cut.together);
    };
    const Window window{shape.x.kernel, shape.y.kernel, shape.x.stride, shape.y.stride, shape.x.dilation, shape.y.dilation};
    s.window = RDom(0, shape.x.kernel, 0, shape.y.kernel, "window");
    auto padded = [&](const Expr & /*column*/, const Expr &row) {
        // Written out, since Halide does not see that (x·stride + offset) / stride is x + offset / stride.
        const Expr offset = s.window.x * shape.x.dilation, column = first_of_vector(s.vector) + s.x;
        const Expr below = row + first_of_band(s.band) * shape.y.stride, c = s.channel / shape.multiplier;
        if (direct) {
            const Expr y = unsafe_promise_clamped(rows.first * shape.y.stride + below, 0, shape.y.input - 1);
            return from_memory(input(column + offset, y, c, s.n), shape.sums);
        }
        return Expr(s.strip(column + offset / shape.x.stride, offset % shape.x.stride,
                            unsafe_promise_clamped(below, 0, shape.y.span(rows.most) - 1), c, s.tile, s.n));
    };
    s.sum = depthwise_stage(
        {s.x, s.y, s.vector, s.band, s.channel, s.tile, s.n}, s.x, s.y, window, s.window, padded,
        [&](const Expr &i, const Expr &j) { return taps(i, j, s.channel, 0); }, keep_order);
    s.columns =
        RDom({{0, cut.lanes}, {0, cut.together}, {0, ceil_div(width, cut.lanes)}, {0, ceil_div(rows.most, cut.together)}}, "columns");
    const RDom &at = s.columns;
    if (ceil_div(rows.fewest, cut.together) != ceil_div(rows.most, cut.together)) s.columns.where(at.w * cut.together < rows.count);
    const Expr place = first_of_vector(at.z) + at.x + (first_of_band(at.w) + at.y) * width;
    s.scratch = Func("scratch");
    s.scratch(s.pixel, s.channel, s.tile, s.n) = undef(shape.sums);
    s.scratch(unsafe_promise_clamped(place, 0, cut.pixel_pitch - 1), s.channel, s.tile, s.n) =
        s.sum(at.x, at.y, at.z, at.w, s.channel, s.tile, s.n);

    // The product. Blocks take a tile's pixels one after the other where these are neighbours in the output, else those of a row; the last
    // block moves back to end with them, and so does the last panel of filters.
    const bool in_rows = memory == OutputMemory::strided;
    s.block_lanes = in_rows ? lanes_within(width, cut.lanes) : cut.lanes;
    s.row_vectors = in_rows ? std::min(cut.vectors, width / s.block_lanes) : cut.vectors;
    const int block_pixels = s.block_lanes * s.row_vectors, most = in_rows ? width : width * rows.most;
    const int row_pixels = in_rows ? width : 0;
    auto first_pixel = [&](const Expr &block, const Expr &row, const Expr &count) {
        const Expr pixels = in_rows ? Expr(width) : count * width;
        const bool even = most % block_pixels == 0 && (in_rows || rows.most == rows.fewest);
        return (even ? block * block_pixels : min(block * block_pixels, pixels - block_pixels)) + row * row_pixels;
    };
    auto first_filter = [&](const Expr &panel) {
        return shape.filters % cut.filters == 0 ? panel * cut.filters : min(panel * cut.filters, shape.filters - cut.filters);
    };
    s.steps = RDom(0, channels, "steps");
    s.staged = Func("staged");
    s.staged(s.filter, s.channel, s.panel) = panels((s.panel * channels + s.channel) * cut.filters + s.filter, 0);
    const Expr pixel = unsafe_promise_clamped(first_pixel(s.block, s.row, rows.count) + s.pixel, 0, cut.pixel_pitch - 1);
    const Expr initial = bias.defined() ? bias(first_filter(s.panel) + s.filter) : cast(shape.sums, 0);
    s.accumulated =
        pointwise_stage({s.pixel, s.filter, s.panel, s.block, s.row, s.tile, s.n}, initial,
                        {{s.steps, s.scratch(pixel, s.steps.x, s.tile, s.n), s.staged(s.filter, s.steps.x, s.panel)}}, keep_order);
    const int of_group = tiles.tiles_of_group();
    // The loops are in the order of the domain.
    const Range pixels(0, block_pixels), filters(0, cut.filters), panels_of_tile(0, ceil_div(shape.filters, cut.filters)),
        blocks(0, ceil_div(most, block_pixels)), rows_of_tile(0, in_rows ? rows.most : 1), tiles_of_group(0, of_group),
        groups(0, tiles.tile_groups);
    s.blocks = cut.panels_within ? RDom({pixels, filters, panels_of_tile, blocks, rows_of_tile, tiles_of_group, groups}, "blocks")
                                 : RDom({pixels, filters, blocks, rows_of_tile, panels_of_tile, tiles_of_group, groups}, "blocks");
    const RDom &b = s.blocks;
    const RVar of_panel = b[cut.panels_within ? 2 : 4], of_block = b[cut.panels_within ? 3 : 2], of_row = b[cut.panels_within ? 4 : 3];
    const Expr tile = simplify(b[6] * of_group + b[5]);
    const Rows of_tile(shape, tiles.count, tile);
    if (rows.most != rows.fewest) {
        if (in_rows) {
            s.blocks.where(of_row < of_tile.count);
        } else if (ceil_div(width * rows.fewest, block_pixels) != ceil_div(most, block_pixels)) {
            s.blocks.where(of_block * block_pixels < of_tile.count * width);
        }
    }
    const Expr filter = first_filter(of_panel) + b.y, from = first_pixel(of_block, 0, of_tile.count) + b.x;
    const Expr result = activated(s.accumulated(b.x, b.y, of_panel, of_block, of_row, tile, s.n));
    if (memory == OutputMemory::flat) {
        output(s.pixel, s.filter, s.n) = undef(result.type());
        output(of_tile.first * width + from, filter, s.n) = result;
        return s;
    }
    output(s.x, s.y, s.filter, s.n) = undef(result.type());
    // In dense memory a column beyond the last is the place of the next row's first.
    output(unsafe_promise_clamped(from, 0, width - 1), unsafe_promise_clamped(of_tile.first + of_row, 0, shape.y.output - 1), filter, s.n) =
        result;
    return s;
}

}  // namespace sepconv
