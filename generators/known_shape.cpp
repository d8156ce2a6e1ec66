// The algorithm of known_shape.h.
#include "known_shape.h"

#include <algorithm>

#include "known_planes.h"
#include "schedules/registers.h"
#include "stages.h"

using namespace Halide;

namespace sepconv {
namespace {

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

// Where a tile lies in the output. A known image is cut into tiles of whole rows, as many as divide evenly or one more; of an open one
// the tiles have whole rows where these fit the scratch, and are the same but for the last of a row and of a column.
class Cut {
public:
    struct Tile {
        Expr x, y, width, height;
        Expr pixels() const { return simplify(width * height); }
    };

    Cut(const KnownShape &shape, const ImageSizes &sizes, const KnownTiles &tiles) : shape_(shape), sizes_(sizes), tiles_(tiles) {
        width_ = shape.x.output, columns_ = 1;
        if (!whole_rows()) {
            columns_ = ceil_div(sizes.x.output, tiles.most_pixels);
            width_ = ceil_div(sizes.x.output, columns_);
        }
        if (shape.known()) {
            height_ = ceil_div(tiles.rows, tiles.count), rows_of_group_ = tiles.tiles_of_group();
        } else {
            const Expr most = max(tiles.most_pixels / width_, 1);
            rows_of_group_ = ceil_div(sizes.y.output, most * tiles.tile_groups);
            height_ = ceil_div(sizes.y.output, rows_of_group_ * tiles.tile_groups);
        }
    }

    bool whole_rows() const { return tiles_.whole_rows(shape_); }
    // Tiles beside each other, and above each other for one group of threads.
    Expr columns() const { return columns_; }
    Expr rows_of_group() const { return rows_of_group_; }
    // Of the largest tile.
    Expr width() const { return width_; }
    Expr height() const { return height_; }

    Tile at(const Expr &column, const Expr &row) const {
        const int rows = tiles_.rows, count = tiles_.count;
        Tile tile = {0, tiles_.first_row + row * height_, width_, height_};
        if (!whole_rows()) tile.x = column * width_, tile.width = clamp(sizes_.x.output - tile.x, 0, width_);
        if (!shape_.known()) {
            tile.height = clamp(sizes_.y.output - tile.y, 0, height_);
        } else if (rows % count != 0) {
            const Expr first = row * rows / count;
            tile.y = tiles_.first_row + first, tile.height = (row + 1) * rows / count - first;
        }
        return tile;
    }

    // The row of the image that is one of the tiles' rows: first all of the first phase.
    Expr row_of_image(const Expr &row) const {
        const int phases = tiles_.phases, low = shape_.y.output / phases, longer = shape_.y.output % phases;
        if (phases == 1) return row;
        auto of = [&](const Expr &at, int rows, int first) { return at % rows * phases + at / rows + first; };
        if (longer == 0) return of(row, low, 0);
        const int first = longer * (low + 1);
        return select(row < first, of(row, low + 1, 0), of(row - first, low, longer));
    }

private:
    static Expr ceil_div(const Expr &a, const Expr &b) { return simplify((a + b - 1) / b); }

    KnownShape shape_;
    ImageSizes sizes_;
    KnownTiles tiles_;
    Expr columns_, rows_of_group_, width_, height_;
};

// Where a filter has two lanes, a vector's places belong to even and odd steps by turns: filter i of a vector has the places i and, from
// the vector's end, i, so that both are added without taking vectors apart.
struct PairedPlace {
    Expr filter, step;

    // Of a number among the packed weights: for each panel, for two steps at a time, vector by vector.
    PairedPlace(const Expr &at, int steps, const KnownTiles &tiles) {
        const int both = 2 * tiles.filter_lanes, width = tiles.panel_width();
        const Expr lane = at % both, vector = at / both % tiles.vectors, two_steps = at / (2 * width);
        filter = two_steps / (steps / 2) * width + vector * tiles.filter_lanes + min(lane, both - 1 - lane);
        step = two_steps % (steps / 2) * 2 + lane % 2;
    }
};

// A vector's channels.
Expr channel_of(const Expr &block, const Expr &lane, const KnownShape &shape, const KnownTiles &tiles) {
    return min(block * tiles.lanes, shape.channels - tiles.lanes) + lane;
}

// channels_first: turns what a tile reads, row by row, so that the channels are lanes as those of channels_last are, with zeros for
// columns beside the image.
// @return the turned image, by its own columns and rows
At turn_input(KnownStages &s, Func input, const KnownShape &shape, const ImageSizes &sizes, const KnownTiles &tiles, const Cut &cut) {
    const Cut::Tile tile = cut.at(s.tile_x, s.tile_y);
    auto span = [](const Expr &outputs, const KnownAxis &axis) {
        return simplify((outputs - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1);
    };
    const Expr from_x = simplify(tile.x * shape.x.stride - sizes.x.before), from_y = simplify(tile.y * shape.y.stride - sizes.y.before);
    const Expr first_row = shape.y.has_border() ? max(from_y, 0) : from_y;
    const Expr rows = simplify(min(from_y + span(tile.height, shape.y), sizes.y.input) - first_row);
    const Expr columns = cut.whole_rows() ? span(shape.x.output, shape.x) : span(tile.width, shape.x);
    // Of these columns, those in the image.
    const Expr begin = simplify(max(-from_x, 0)), count = simplify(max(min(sizes.x.input - from_x, columns) - begin, 0));

    s.turned = Func("turned");
    s.turned(s.lane, s.pixel, s.block, s.tile_x, s.tile_y, s.n) = undef(shape.sums);
    auto pixel_at = [columns, pitch = tiles.turned_pitch](const Expr &column, const Expr &row) {
        return unsafe_promise_clamped(column + row * columns, 0, pitch - 1);
    };
    const Expr most_columns = span(cut.width(), shape.x), most_rows = span(cut.height(), shape.y);
    if (shape.x.has_border()) {
        KnownStages::Turn zeros;
        zeros.pixels = RDom(0, 1, 0, most_columns, 0, most_rows, "zeros");
        zeros.pixels.where(zeros.pixels.y < columns - count);
        zeros.pixels.where(zeros.pixels.z < rows);
        const Expr column = select(zeros.pixels.y < begin, zeros.pixels.y, zeros.pixels.y + count);
        s.turned(s.lane, pixel_at(column, zeros.pixels.z), s.block, s.tile_x, s.tile_y, s.n) = cast(shape.sums, 0);
        s.turns.push_back(zeros);
    }
    for (int together = tiles.turned_input; together >= 1; together = !cut.whole_rows() && together > 1 ? 1 : 0) {
        KnownStages::Turn turn;
        turn.pixels = RDom(0, together, 0, simplify((most_columns + together - 1) / together), 0, most_rows, "turn");
        const RDom &at = turn.pixels;
        turn.pixels.where(at.y * together < count);
        turn.pixels.where(at.z < rows);
        if (!cut.whole_rows()) turn.pixels.where(together > 1 ? count >= together : count < tiles.turned_input);
        auto first = [&](const Expr &block) { return min(block * together, count - together); };
        turn.square = Func("square_of_input");
        const Expr column = from_x + begin + first(s.strip) + s.along, row = first_row + s.y;
        turn.square(s.along, s.across, s.part, s.strip, s.y, s.block, s.tile_x, s.tile_y, s.n) =
            from_memory(input(unsafe_promise_clamped(column, 0, sizes.x.input - 1), unsafe_promise_clamped(row, 0, sizes.y.input - 1),
                              channel_of(s.block, s.part * together + s.across, shape, tiles), s.n),
                        shape.sums);
        s.turned(s.lane, pixel_at(begin + first(at.y) + at.x, at.z), s.block, s.tile_x, s.tile_y, s.n) =
            turn.square(at.x, s.lane % together, s.lane / together, at.y, at.z, s.block, s.tile_x, s.tile_y, s.n);
        s.turns.push_back(turn);
    }
    return [=, turned = s.turned, block = s.block / shape.multiplier, lane = s.lane, tile_x = s.tile_x, tile_y = s.tile_y, n = s.n](
               const Expr &x, const Expr &y) { return turned(lane, pixel_at(x - from_x, y - first_row), block, tile_x, tile_y, n); };
}

}  // namespace

std::vector<int> packed_taps_extents(const KnownShape &shape, const KnownTiles &tiles) {
    if (tiles.planes) return plane_taps_extents(shape);
    return {tiles.lanes, shape.x.kernel, shape.y.kernel, Order(shape, tiles).blocks() * shape.multiplier};
}

int packed_panels_floats(const KnownShape &shape, const KnownTiles &tiles) {
    return ceil_div(shape.filters, tiles.panel_width()) * tiles.panel_width() * shape.depthwise_channels();
}

int packed_filters(const KnownShape &shape, const KnownTiles &tiles) {
    // The last panel of planes moves back to end with the last filter.
    return tiles.planes ? shape.filters : ceil_div(shape.filters, tiles.panel_width()) * tiles.panel_width();
}

Func packed_taps(Func kernel, const KnownShape &shape, const KnownTiles &tiles) {
    if (tiles.planes) return plane_taps(kernel, shape);
    Func taps("taps");
    Var lane("lane"), i("i"), j("j"), block("block");
    const Expr channel = min(block / shape.multiplier * tiles.lanes, shape.channels - tiles.lanes) + lane;
    const Expr multiplied = shape.spread > 1 ? channel % shape.spread : block % shape.multiplier;
    taps(lane, i, j, block) = kernel(multiplied, channel / shape.spread, i, j);
    return taps;
}

Func packed_panels(Func kernel, const KnownShape &shape, const KnownTiles &tiles) {
    Func panels("panels");
    Var at("at"), row("row");
    const Order order(shape, tiles);
    const int width = tiles.panel_width(), steps = shape.depthwise_channels();
    const Expr line = at / width;
    Expr filter = line / steps * width + at % width;
    if (tiles.planes) {
        const Expr first = min(line / steps * width, shape.filters - width);
        panels(at, row) = kernel(first + at % width, line % steps);
        return panels;
    }
    Expr step = line % steps;
    if (tiles.paired) {
        const PairedPlace place(at, steps, tiles);
        filter = place.filter, step = place.step;
    }
    const Expr weight = kernel(min(filter, shape.filters - 1), clamp(order.channel(step), 0, steps - 1));
    panels(at, row) = select(filter < shape.filters, weight, cast(weight.type(), 0));
    return panels;
}

Func packed_bias(Func bias, const KnownShape &shape) {
    Func padded("bias_of_panels");
    Var filter("filter");
    const Expr value = bias(min(filter, shape.filters - 1));
    padded(filter) = select(filter < shape.filters, value, cast(value.type(), 0));
    return padded;
}

KnownStages known_shape(Func output, Func input, const KnownWeights &weights, const KnownShape &shape, const ImageSizes &sizes,
                        const KnownTiles &tiles, const std::function<Expr(Expr)> &activated, bool keep_order, OutputMemory memory) {
    KnownStages s;
    s.lane = Var("lane"), s.x = Var("x"), s.y = Var("y"), s.strip = Var("strip"), s.block = Var("block");
    s.filter = Var("filter"), s.pixel = Var("pixel"), s.pixel_block = Var("pixel_block"), s.n = Var("n");
    s.tile_x = Var("tile_x"), s.tile_y = Var("tile_y");
    s.along = Var("along"), s.across = Var("across"), s.part = Var("part");
    Func taps = weights.depthwise, panels = weights.pointwise, bias = weights.bias;
    if (!weights.packed) {
        taps = s.taps = packed_taps(taps, shape, tiles);
        panels = s.panels = packed_panels(panels, shape, tiles);
        if (bias.defined()) bias = s.bias = packed_bias(bias, shape);
    }
    const Order order(shape, tiles);
    const Cut cut(shape, sizes, tiles);
    const Cut::Tile tile = cut.at(s.tile_x, s.tile_y);

    // A row is computed in strips of outputs that are in registers together; the last one moves back to end with the row. A row of an
    // open tile that is shorter than a strip goes on beyond its end, where the next row is written later.
    const bool whole_strips = shape.x.output % tiles.together == 0;
    auto first_of_strip = [&](const Expr &strip) {
        const Expr first = strip * tiles.together;
        if (!cut.whole_rows()) return max(min(first, tile.width - tiles.together), 0);
        return whole_strips ? first : min(likely(first), shape.x.output - tiles.together);
    };
    auto first_column = [&](const Expr &strip) { return (tile.x + first_of_strip(strip)) * shape.x.stride - sizes.x.before; };

    // Rows of the window beside the image are left out, by one test for all outputs of a block; columns beside it read zeros.
    const bool phases = tiles.phases > 1;
    const Expr first_row = (phases ? cut.row_of_image(tile.y + s.y) : tile.y * shape.y.stride) - sizes.y.before;
    auto row_of = [&](const Expr &y, const Expr &j) {
        if (phases) return cut.row_of_image(tile.y + y) - sizes.y.before + j * shape.y.dilation;
        return first_row + y * shape.y.stride + j * shape.y.dilation;
    };
    const Expr channel = channel_of(s.block / shape.multiplier, s.lane, shape, tiles);
    const int stride_y = phases ? 0 : shape.y.stride;  // within first_row
    const Window window{shape.x.kernel, shape.y.kernel, shape.x.stride, stride_y, shape.x.dilation, shape.y.dilation};
    s.scratch = Func("scratch");
    s.scratch(s.lane, s.pixel, s.block, s.tile_x, s.tile_y, s.n) = undef(shape.sums);
    const Type mask_type = Int(shape.sums.bits());
    enum class Rows { all, inside, border };
    auto fill = [&](const At &columns, const std::function<Expr(const RVar &strip)> &which, const Func &mask, Rows rows) {
        KnownStages::Fill part;
        part.mask = mask;
        part.window = RDom(0, shape.x.kernel, 0, shape.y.kernel, "window");
        const Expr row = row_of(s.y, part.window.y);
        if (shape.y.has_border() && rows != Rows::inside) part.window.where(row >= 0 && row < sizes.y.input);
        auto padded = [&](const Expr &i, const Expr &j) {
            const Expr value = columns(i + first_column(s.strip), j + first_row);
            if (!mask.defined()) return value;
            return reinterpret(shape.sums, reinterpret(mask_type, value) & mask(i, s.strip, s.tile_x));
        };
        part.sum = depthwise_stage(
            {s.lane, s.x, s.strip, s.y, s.block, s.tile_x, s.tile_y, s.n}, s.x, s.y, window, part.window, padded,
            [&](const Expr &i, const Expr &j) { return taps(s.lane, i, j, s.block); }, keep_order);
        const Expr strips = simplify((cut.width() + tiles.together - 1) / tiles.together);
        const Expr bands = simplify((cut.height() + tiles.band - 1) / tiles.band);
        part.outputs = RDom(0, tiles.together, 0, tiles.band, 0, strips, 0, bands, "outputs");
        const RDom &at = part.outputs;
        Expr y = simplify(at.w * tiles.band + at.y);
        if (const auto height = as_const_int(tile.height); !height || *height % tiles.band != 0) {
            part.outputs.where(y < tile.height);
            y = unsafe_promise_clamped(y, 0, cut.height() - 1);
        }
        if (!cut.whole_rows()) part.outputs.where(at.z * tiles.together < tile.width);
        if (which) part.outputs.where(which(at.z));
        const Expr inside = row_of(y, 0) >= 0 && row_of(y, shape.y.kernel - 1) < sizes.y.input;
        if (rows != Rows::all) part.outputs.where(rows == Rows::inside ? inside : !inside);
        Expr pixel = first_of_strip(at.z) + at.x + y * tile.width;
        if (!cut.whole_rows()) pixel = unsafe_promise_clamped(pixel, 0, tiles.pixel_pitch - 1);
        s.scratch(s.lane, pixel, s.block, s.tile_x, s.tile_y, s.n) = part.sum(s.lane, at.x, at.z, y, s.block, s.tile_x, s.tile_y, s.n);
        s.fills.push_back(part);
    };
    auto inside = [&](const Expr &x, const Expr &y) {
        auto read = [&](const Expr &c) {
            return from_memory(input(c, x, unsafe_promise_clamped(y, 0, sizes.y.input - 1), s.n), shape.sums);
        };
        if (shape.spread == 1) return read(channel);
        // Each number of the image for the lanes that read it.
        const Expr first = min(s.block * tiles.lanes, shape.channels - tiles.lanes) / shape.spread;
        const int parts = tiles.lanes / shape.spread;
        Expr value = read(first + parts - 1);
        for (int part = parts - 2; part >= 0; part--) value = select(s.lane < (part + 1) * shape.spread, read(first + part), value);
        return value;
    };
    auto tested = [&](const Expr &x, const Expr &y) { return padded_columns_stage(inside, x, y, sizes.x.input); };
    if (shape.channels_first) {
        fill(turn_input(s, input, shape, sizes, tiles, cut), nullptr, Func(), Rows::all);
    } else if (cut.whole_rows()) {
        const At columns = shape.x.has_border() ? At(tested) : At(inside);
        if (tiles.border_apart) {
            for (const Rows rows : {Rows::inside, Rows::border}) fill(columns, nullptr, Func(), rows);
        } else {
            fill(columns, nullptr, Func(), Rows::all);
        }
    } else {
        auto is_inside = [&](const RVar &strip) {
            const Expr last = first_column(strip) + (tiles.together - 1) * shape.x.stride + (shape.x.kernel - 1) * shape.x.dilation;
            return tile.width >= tiles.together && first_column(strip) >= 0 && last < sizes.x.input;
        };
        fill([&](const Expr &x, const Expr &y) { return inside(unsafe_promise_clamped(x, 0, sizes.x.input - 1), y); }, is_inside, Func(),
             Rows::all);
        // At the border a column's test is made once for all channels: its result is stored, as all bits of a number or none.
        Func mask("mask");
        const Expr column = s.x + first_column(s.strip);
        mask(s.x, s.strip, s.tile_x) = select(column >= 0 && column < sizes.x.input, cast(mask_type, -1), cast(mask_type, 0));
        fill([&](const Expr &x, const Expr &y) { return inside(clamp(x, 0, sizes.x.input - 1), y); },
             [&](const RVar &strip) { return !is_inside(strip); }, mask, Rows::all);
    }

    // The product of the tile, in blocks of pixels of one height or two. In a known tile the last block of a height moves back to end with
    // its pixels. An open tile has as many blocks as the larger height needs, of which the last have the smaller one as far as all its
    // pixels stay covered; the last may go on beyond these, and what comes of that is not stored.
    const int width = tiles.panel_width(), steps = shape.depthwise_channels(), whole_blocks = order.whole * shape.multiplier;
    auto weight = [&](const Expr &step) { return panels((s.filter / width * steps + step) * width + s.filter % width, 0); };
    auto first_of_block = [&](const PixelRun &run, const Expr &block, const Expr &pixels) {
        return min(run.first + block * run.rows, (run.pixels > 0 ? Expr(run.first + run.pixels) : pixels) - run.rows);
    };
    const int largest = tiles.runs.front().rows, smaller = largest - tiles.runs.back().rows;
    auto blocks_of = [&](const Expr &pixels) { return (pixels + largest - 1) / largest; };
    Func large_blocks("large_blocks");
    if (!shape.known()) {
        const Expr all = blocks_of(tile.pixels());
        large_blocks(s.tile_x, s.tile_y) = smaller == 0 ? all : max(all - (all * largest - tile.pixels()) / smaller, 0);
        s.of_tile.push_back(large_blocks);
    }
    auto first_of_open_block = [&](const Expr &block, const Expr &tile_x, const Expr &tile_y) {
        return block * largest - max(block - large_blocks(tile_x, tile_y), 0) * smaller;
    };
    for (const PixelRun &run : tiles.runs) {
        KnownStages::Run product;
        const Expr first =
            shape.known() ? first_of_block(run, s.pixel_block, tile.pixels())
                          : unsafe_promise_clamped(first_of_open_block(s.pixel_block, s.tile_x, s.tile_y), 0, tiles.pixel_pitch - run.rows);
        const Expr pixel = first + s.pixel;
        product.staged = Func("staged");
        product.staged(s.lane, s.pixel, s.block, s.pixel_block, s.tile_x, s.tile_y, s.n) =
            s.scratch(s.lane, pixel, s.block, s.tile_x, s.tile_y, s.n);
        const int at_once = tiles.paired ? 2 : 1;  // steps
        product.whole = RDom(0, tiles.lanes / at_once, 0, whole_blocks, "whole");
        if (order.rest > 0) product.rest = RDom(0, order.rest / at_once, 0, shape.multiplier, "rest");
        const RDom &whole = product.whole, &rest = product.rest;
        const Expr initial = bias.defined() ? bias(s.filter) : cast(shape.sums, 0);
        const std::vector<Var> sums = {s.filter, s.pixel, s.pixel_block, s.tile_x, s.tile_y, s.n};
        auto in_rest = [&](const Expr &step) {
            return s.scratch(tiles.lanes - order.rest + step, pixel, whole_blocks + rest.y, s.tile_x, s.tile_y, s.n);
        };
        if (tiles.paired) {
            const Var lane("lane_of_both"), vector("vector_of_panel"), panel("panel_of_all");
            const int lanes = tiles.filter_lanes, both = 2 * lanes;
            auto weight_of_pair = [&](const Expr &step) { return panels((panel * steps + step) * width + vector * both + lane, 0); };
            const Expr parity = lane % 2;
            std::vector<Reduction> reduction = {{whole, s.scratch(whole.x * 2 + parity, pixel, whole.y, s.tile_x, s.tile_y, s.n),
                                                 weight_of_pair(whole.y * tiles.lanes + whole.x * 2)}};
            if (order.rest > 0) {
                reduction.push_back(
                    {rest, in_rest(rest.x * 2 + parity), weight_of_pair(order.steps_of_whole() + rest.y * order.rest + rest.x * 2)});
            }
            product.pairs = pointwise_stage({lane, vector, panel, s.pixel, s.pixel_block, s.tile_x, s.tile_y, s.n}, cast(shape.sums, 0),
                                            reduction, keep_order);
            auto sum_at = [&](const Expr &place) {
                return product.pairs(place, s.filter % width / lanes, s.filter / width, s.pixel, s.pixel_block, s.tile_x, s.tile_y, s.n);
            };
            const Expr place = s.filter % lanes;
            product.accumulated(sums) = both_lanes(initial, sum_at(place), sum_at(both - 1 - place));
        } else {
            std::vector<Reduction> reduction = {{whole, product.staged(whole.x, s.pixel, whole.y, s.pixel_block, s.tile_x, s.tile_y, s.n),
                                                 weight(whole.y * tiles.lanes + whole.x)}};
            if (order.rest > 0) {
                reduction.push_back({rest, in_rest(rest.x), weight(order.steps_of_whole() + rest.y * order.rest + rest.x)});
            }
            product.accumulated = pointwise_stage(sums, initial, reduction, keep_order);
        }
        s.runs.push_back(product);
    }

    // channels_last stores each block as it comes, of one run; channels_first turns the results of a tile's panel.
    const bool one_run = tiles.runs.size() == 1, whole_panel = shape.channels_first || (shape.known() && !one_run);
    const int rows = shape.channels_first ? tiles.turned_output : whole_panel ? 1 : largest;
    const Expr most_pixels = cut.width() * cut.height();
    s.pixels = RDom(
        {{0, rows}, {0, simplify((most_pixels + rows - 1) / rows)}, {0, cut.columns()}, {0, cut.rows_of_group()}, {0, tiles.tile_groups}},
        tiles.first_row > 0 ? "pixels_over" : "pixels");
    const Expr tile_x = s.pixels.z, tile_y = simplify(s.pixels[4] * cut.rows_of_group() + s.pixels.w);
    const Cut::Tile at = cut.at(tile_x, tile_y);
    Expr pixel = s.pixels.y, value;
    if (whole_panel) {
        s.panel = Func("panel");
        s.panel(s.filter, s.pixel, s.tile_x, s.tile_y, s.n) = undef(shape.sums);
        for (std::size_t i = 0; i < tiles.runs.size(); i++) {
            const PixelRun &run = tiles.runs[i];
            const Expr covered = run.pixels > 0 ? Expr(run.pixels) : most_pixels;
            RDom &blocks = s.runs[i].blocks = RDom(0, run.rows, 0, simplify((covered + run.rows - 1) / run.rows), "blocks");
            Expr first = first_of_block(run, blocks.y, tile.pixels());
            if (!shape.known()) {
                const Expr large = blocks.y < large_blocks(s.tile_x, s.tile_y);
                first = unsafe_promise_clamped(first_of_open_block(blocks.y, s.tile_x, s.tile_y), 0, tiles.pixel_pitch - run.rows);
                blocks.where(blocks.y < blocks_of(tile.pixels()));
                if (!one_run) blocks.where(i == 0 ? large : !large);
            } else if (!is_const(tile.pixels())) {
                blocks.where(blocks.y * run.rows < tile.pixels());
            }
            s.panel(s.filter, first + blocks.x, s.tile_x, s.tile_y, s.n) =
                s.runs[i].accumulated(s.filter, blocks.x, blocks.y, s.tile_x, s.tile_y, s.n);
        }
        if (shape.channels_first) {
            auto first = [&](const Expr &block, const Expr &pixels) {
                const Expr inside = min(block * rows, pixels - rows);
                return shape.known() ? inside : max(inside, 0);
            };
            s.square = Func("square");
            s.square(s.along, s.across, s.part, s.pixel_block, s.tile_x, s.tile_y, s.n) =
                s.panel(s.part * rows + s.along, first(s.pixel_block, tile.pixels()) + s.across, s.tile_x, s.tile_y, s.n);
            s.turned_square = Func("turned_square");
            s.turned_square(s.across, s.along, s.part, s.pixel_block, s.tile_x, s.tile_y, s.n) =
                s.square(s.along, s.across, s.part, s.pixel_block, s.tile_x, s.tile_y, s.n);
            pixel = first(s.pixels.y, at.pixels()) + s.pixels.x;
            if (!is_const(at.pixels())) s.pixels.where(s.pixels.y * rows < at.pixels());
            // Only an image of fewer pixels has a tile of fewer.
            if (!shape.known()) s.pixels.where(likely(pixel < at.pixels()));
            value = s.turned_square(s.pixels.x, s.filter % rows, s.filter / rows, s.pixels.y, tile_x, tile_y, s.n);
        } else {
            value = s.panel(s.filter, pixel, tile_x, tile_y, s.n);
        }
    } else if (!shape.known()) {
        const Expr first = first_of_open_block(s.pixels.y, tile_x, tile_y);
        pixel = first + s.pixels.x;
        s.pixels.where(s.pixels.y < blocks_of(at.pixels()));
        s.pixels.where(pixel < min(first_of_open_block(s.pixels.y + 1, tile_x, tile_y), at.pixels()));
        s.panel = Func("panel");
        // Not undefined, which could be what a former block left: a vector that is not stored would be computed for it.
        s.panel(s.filter, s.pixel, s.pixel_block, s.tile_x, s.tile_y, s.n) = cast(shape.sums, 0);
        for (std::size_t i = 0; i < tiles.runs.size(); i++) {
            RDom &blocks = s.runs[i].blocks = RDom(0, tiles.runs[i].rows, "blocks");
            const Expr large = s.pixel_block < large_blocks(s.tile_x, s.tile_y);
            if (!one_run) blocks.where(i == 0 ? large : !large);
            s.panel(s.filter, blocks.x, s.pixel_block, s.tile_x, s.tile_y, s.n) =
                s.runs[i].accumulated(s.filter, blocks.x, s.pixel_block, s.tile_x, s.tile_y, s.n);
        }
        value = s.panel(s.filter, s.pixels.x, s.pixels.y, tile_x, tile_y, s.n);
    } else {
        pixel = first_of_block(tiles.runs.front(), s.pixels.y, at.pixels()) + s.pixels.x;
        if (!is_const(at.pixels())) s.pixels.where(s.pixels.y * rows < at.pixels());
        value = s.runs.front().accumulated(s.filter, s.pixels.x, s.pixels.y, tile_x, tile_y, s.n);
    }

    const Expr result = activated(value);
    auto place = [&](const std::vector<Expr> &pixel) {
        std::vector<Expr> all = {s.n};
        all.insert(all.begin(), pixel.begin(), pixel.end());
        all.insert(shape.channels_first ? all.end() - 1 : all.begin(), s.filter);
        return all;
    };
    auto define = [&](const std::vector<Var> &pixel) {
        if (output.defined()) return;
        std::vector<Var> dimensions;
        for (const Expr &dimension : place({pixel.begin(), pixel.end()})) dimensions.emplace_back(dimension.as<Internal::Variable>()->name);
        output(dimensions) = undef(result.type());
    };
    if (memory == OutputMemory::flat) {
        define({s.pixel});
        Expr first = at.y * shape.x.output + pixel;
        if (phases) {
            first = cut.row_of_image(at.y + pixel / shape.x.output) * shape.x.output + pixel % shape.x.output;
            first = unsafe_promise_clamped(first, 0, shape.x.output * shape.y.output - 1);
        }
        output(place({first})) = result;
        return s;
    }
    define({s.x, s.y});
    auto store = [&](const Expr &x, const Expr &y) {
        output(place({unsafe_promise_clamped(x, 0, sizes.x.output - 1), unsafe_promise_clamped(y, 0, sizes.y.output - 1)})) = result;
    };
    if (memory == OutputMemory::dense && !phases) {
        // A tile is as wide as the output or one row high, so in dense memory its pixels are neighbours: a column beyond the last is the
        // place of the next row's first.
        store(at.x + pixel, at.y);
    } else if (cut.whole_rows()) {
        store(pixel % shape.x.output, cut.row_of_image(at.y + pixel / shape.x.output));
    } else {
        // The pixel's row by a multiplication: rounded up, the reciprocal is exact for as many pixels as a tile may have.
        Func reciprocal("reciprocal");
        reciprocal(s.tile_x) = ((1 << KnownTiles::pixel_bits * 2) + tile.width - 1) / max(tile.width, 1);
        s.of_tile.push_back(reciprocal);
        const Expr row_of_tile = (pixel * reciprocal(tile_x)) >> (KnownTiles::pixel_bits * 2);
        store(at.x + pixel - row_of_tile * at.width, at.y + row_of_tile);
    }
    return s;
}

}  // namespace sepconv
