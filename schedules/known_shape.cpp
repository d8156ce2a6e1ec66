// Known shapes on a CPU: the sizes of tiles and blocks by registers and caches, and the schedule that they fill.
#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "schedules/known_planes.h"
#include "schedules/known_shape.h"
#include "schedules/registers.h"

using namespace Halide;

namespace sepconv {
namespace {

// What the scratch of a tile may take of the cache that a core has for itself, and what a tile costs beside its pixels, in pixels.
struct TileBudget {
    int bytes;
    double start;
    int least_blocks = 4;  // of the product

    TileBudget(const KnownShape &shape, const KnownTiles &tiles, const Target &target) {
        // Of 512 KiB and more: the panels and the image pass through the rest. On Zen 3 14×14 512→512 takes 3 % more with twice as much.
        bytes = 200 << 10, start = 1;
        // CPUs with AVX-512 have 1 MiB and more. Panels that outgrow it come from afar for each tile: on an Emerald Rapids 19×19 728→728
        // takes 6 % less with two tiles than with six.
        constexpr double far = 1 << 20;
        const double panels = static_cast<double>(shape.filters) * shape.depthwise_channels() * shape.sums.bytes();
        if (target.has_feature(Target::AVX512_Skylake) && panels > far) bytes = 560 << 10, start = 7;
        // A single vector of filters reads the scratch once, as fast as it comes: from the first-level cache, where a row of it fits there
        // beside the image's. On an Emerald Rapids 56×56 48→16 takes 10 % less so, 28×28 64→16 8 %.
        constexpr int near = 14 << 10;
        if (tiles.vectors == 1 && shape.filters <= tiles.filter_lanes && shape.known()) {
            const double pixel = ceil_div(shape.channels, tiles.lanes) * tiles.lanes * shape.multiplier * shape.sums.bytes();
            if (shape.x.output * pixel <= near) bytes = near, least_blocks = 1;
        }
    }
};

// What a block of rows × vectors accumulators costs, in pixels of work: few leave the multipliers waiting for each other and for
// what is loaded, and many overlap less with the next block where the reduction is short. Measured on Zen 4 and 5.
double block_cost(int rows, int vectors, int steps, const Target &target) {
    constexpr int many = 16, short_reduction = 256;
    const int accumulators = rows * vectors;
    const bool alone = target.has_feature(Target::AVX512_Skylake) && accumulators >= many && steps < short_reduction;
    const double factor = alone                                      ? 1.04
                          : accumulators >= registers(target).enough ? 1
                          : accumulators >= 10                       ? 1.05
                          : accumulators >= 8                        ? 1.2
                                                                     : 10.0 / accumulators;
    return rows * factor + 0.25;
}

struct Cover {
    double cost = std::numeric_limits<double>::infinity();
    std::vector<PixelRun> runs;
};

// Covers a tile's pixels with blocks of one height or, where `two`, of two; none higher than `most` or than its pixels.
Cover cover_pixels(int pixels, int most, int vectors, int steps, bool two, const Target &target) {
    Cover best;
    for (int a = std::min(most, pixels); a >= 1; a--) {
        const double cost_a = block_cost(a, vectors, steps, target), alone = ceil_div(pixels, a) * cost_a;
        if (alone < best.cost) best = {alone, {{a, 0, 0}}};
        for (int b = a - 1; two && b >= 1; b--) {
            for (int blocks = 1; blocks * a < pixels; blocks++) {
                const int rest = pixels - blocks * a;
                // The second run's results are copied: a hundredth is left for that.
                const double both = (blocks * cost_a + ceil_div(rest, b) * block_cost(b, vectors, steps, target)) * 1.01;
                if (rest >= b && both < best.cost) best = {both, {{a, 0, blocks * a}, {b, blocks * a, rest}}};
            }
        }
    }
    return best;
}

// What tiles of a height's whole part and, where it does not divide, of a row more cost.
struct TileCost {
    double small, large;
    std::vector<PixelRun> runs;
};

// Two lanes for a filter, where such vectors, of half as many filters and with two steps of the reduction in one multiplication, leave so
// much less unused that it pays to add both lanes at the end. Of the registers of AVX-512 three or five of them make a block.
void choose_pairs(KnownTiles &tiles, const KnownShape &shape, const TileWishes &wishes, const Target &target) {
    const int natural = target.natural_vector_size(shape.sums), half = natural / 2;
    const bool even = tiles.lanes % 2 == 0 && shape.channels % tiles.lanes % 2 == 0;
    // Tiles that are turned back take 25 % longer with them: on an Emerald Rapids 14×14 672→112 5×5 388 µs, and 307 without.
    if (!target.has_feature(Target::AVX512_Skylake) || shape.channels_first || wishes.vectors > 0 || !even) return;
    // Multiplications for a pixel; an addition of both lanes takes as long as four.
    constexpr int adding = 4;
    const int steps = shape.depthwise_channels();
    double least = static_cast<double>(ceil_div(shape.filters, tiles.panel_width())) * tiles.vectors * steps;
    for (const int vectors : {1, 3, 5}) {
        const double cost = static_cast<double>(ceil_div(shape.filters, vectors * half)) * vectors * (steps / 2.0 + adding);
        // A single vector has a load for every multiplication.
        if (cost >= least || (vectors == 1 && shape.filters > half)) continue;
        least = cost;
        tiles.paired = true, tiles.filter_lanes = half, tiles.vectors = vectors;
    }
}

// The vectors of a tile: what the packed weights' order depends on, so that it takes no notice of the image.
KnownTiles choose_vectors(const KnownShape &shape, const TileWishes &wishes, const Target &target) {
    KnownTiles tiles;
    const int natural = target.natural_vector_size(shape.sums);
    tiles.lanes = lanes_within(shape.channels, natural);
    tiles.filter_lanes = lanes_within(shape.filters, natural);
    tiles.vectors = shape.filters > tiles.filter_lanes ? 2 : 1;
    // Three vectors are one panel where there are registers for it: a panel of one has a load for every multiplication. 28×28 240→40 takes
    // 3 % less on an Emerald Rapids.
    if (target.has_feature(Target::AVX512_Skylake) && ceil_div(shape.filters, tiles.filter_lanes) == 3) tiles.vectors = 3;
    tiles.paired = false;
    choose_pairs(tiles, shape, wishes, target);
    if (wishes.vectors > 0) tiles.vectors = wishes.vectors;
    return tiles;
}

// Outputs of a row whose sums are in registers at once. Eight fill the pipes of the large ARM cores a little better than seven (a
// Neoverse-N1's to 83 instead of 80 %), but not where the last strip then computes more outputs again.
int strip_of(int width, const Target &target) {
    constexpr int usual = 7, larger = 8;
    const bool fits = ceil_div(width, larger) * larger <= ceil_div(width, usual) * usual;
    return registers(target).by_lane && fits ? larger : usual;
}

// channels_first: what is turned in registers at once. Of the input, a part of a row; of the output, pixels of a tile.
void choose_turns(KnownTiles &tiles, const KnownShape &shape) {
    // Squares of four are turned in registers with the fewest shuffles.
    constexpr int most = 4;
    const int lanes = std::min(tiles.lanes, most);
    const int width = shape.x.output, height = shape.known() ? tiles.rows : shape.y.output;
    const int pixels = shape.known() ? height / tiles.count * width : lanes;
    tiles.turned_output = lanes_within(pixels, std::min(tiles.filter_lanes, most));
    auto span = [](int outputs, const KnownAxis &axis) { return (outputs - 1.0) * axis.stride + (axis.kernel - 1.0) * axis.dilation + 1; };
    // Of the columns that the outputs of a row read, those in the image.
    const double inside = std::min<double>(shape.x.input, span(width, shape.x) - shape.x.before);
    tiles.turned_input = tiles.whole_rows(shape) ? lanes_within(static_cast<int>(inside), lanes) : lanes;
    double most_turned = 0;
    auto fit = [&](int columns, int rows) {
        // A short row of an open tile is computed as a strip is.
        const int beyond = shape.x.open() ? (tiles.together - 1) * shape.x.stride : 0;
        most_turned = std::max(most_turned, span(columns, shape.x) * span(rows, shape.y) + beyond);
        tiles.turned_pitch = static_cast<int>(std::min<double>(most_turned, std::numeric_limits<int>::max()));
    };
    if (shape.known()) return fit(width, ceil_div(height, tiles.count));
    const auto most_rows = [&](int columns) {
        const int rows = std::max(1, tiles.most_pixels / columns);
        return shape.y.open() ? rows : std::min(rows, height);
    };
    if (tiles.whole_rows(shape)) return fit(width, most_rows(width));
    for (int columns = 1; columns <= tiles.most_pixels; columns++) fit(columns, most_rows(columns));
}

// What the depthwise stage of a tile that is turned costs, and turning it, in multiply-adds of vectors.
double cost_of_turned_stages(const KnownShape &shape, const KnownTiles &tiles) {
    constexpr double waiting = 1.6, input = 0.4, output = 1;
    const double read = static_cast<double>(shape.y.span(ceil_div(shape.y.output, tiles.count))) * tiles.count * shape.x.input;
    const double pixels = static_cast<double>(shape.x.output) * shape.y.output;
    const double depthwise = pixels * ceil_div(shape.channels, tiles.lanes) * shape.multiplier * shape.window() * waiting;
    return depthwise / tiles.tile_groups +
           (read * shape.channels * input + pixels * shape.filters * output) / (tiles.tile_groups * tiles.filter_groups);
}

// What it costs to turn the input that some rows read, in multiply-adds.
double cost_of_turning(const KnownShape &shape, const KnownTiles &tiles, int rows) {
    constexpr double value = 0.4;
    return value * tiles.lanes * shape.y.span(rows) * shape.x.input * shape.channels;
}

constexpr int hiding = 4;  // steps of the reduction, unrolled: hides the loop's own instructions behind the multiplications

// The sums of even and odd steps for a block of pixels.
void schedule_pairs(const KnownStages::Run &run, const KnownStages &s, const KnownTiles &tiles, int rows, const LoopLevel &block) {
    Func pairs = run.pairs;
    const Var lane = pairs.args()[0], vector = pairs.args()[1], panel = pairs.args()[2];
    pairs.compute_at(block)
        .store_in(MemoryType::Stack)
        .bound_extent(lane, 2 * tiles.filter_lanes)
        .bound_extent(vector, tiles.vectors)
        .bound_extent(panel, 1)
        .bound_extent(s.pixel, rows)
        .bound_extent(s.pixel_block, 1)
        .bound_extent(s.tile_x, 1)
        .bound_extent(s.tile_y, 1)
        .vectorize(lane)
        .unroll(vector)
        .unroll(s.pixel);
    for (int part = 0; part < (run.rest.defined() ? 2 : 1); part++) {
        const RDom &q = part == 0 ? run.whole : run.rest;
        pairs.update(part).reorder(lane, vector, s.pixel, q.x, q.y).vectorize(lane).unroll(vector).unroll(s.pixel);
    }
    if (tiles.lanes % hiding == 0) pairs.update(0).unroll(run.whole.x, hiding / 2);
}

// A square to be turned: stored along one side, read along the other, which the compiler makes shuffles of registers of.
void schedule_square(Func square, int side, const LoopLevel &level, const KnownStages &s) {
    square.compute_at(level)
        .store_in(MemoryType::Stack)
        .bound_extent(s.along, side)
        .bound_extent(s.across, side)
        .vectorize(square.args()[0])
        .unroll(square.args()[1]);
    for (const Var &place : square.args()) {
        if (place.name() != s.along.name() && place.name() != s.across.name() && place.name() != s.n.name()) square.bound_extent(place, 1);
    }
}

}  // namespace

KnownShape spread_multiplier(KnownShape shape, const Target &target) {
    const int natural = target.natural_vector_size(shape.sums), lanes = lanes_within(shape.depthwise_channels(), natural);
    // A vector is put together of the image's numbers, each for `multiplier` lanes; of more than four this costs more than it is worth.
    constexpr int most_parts = 4;
    const bool narrow = 2 * shape.channels <= natural, parts = lanes % shape.multiplier == 0 && lanes / shape.multiplier <= most_parts;
    if (shape.channels_first || shape.multiplier == 1 || !narrow || !parts) return shape;
    shape.channels *= shape.multiplier;
    std::swap(shape.spread, shape.multiplier);
    return shape;
}

bool fits_tiles(const KnownShape &shape, const KnownTiles &tiles) {
    // Under a wide window, of which a tile reads far more than it has outputs, turning it is not worth its memory.
    constexpr int most_bytes = 1 << 20;
    return !shape.channels_first || tiles.planes || tiles.turned_pitch <= most_bytes / shape.sums.bytes() / tiles.lanes;
}

// Whether neighbouring rows' windows share lines that do not stay in the first-level cache from one row to the next: they do where a row's
// strips follow each other in memory, or the rows of a window are short.
bool shares_far_rows(const KnownShape &shape, const KnownTiles &tiles) {
    constexpr int near = 24 << 10;
    const double window_rows = double(shape.y.kernel) * shape.x.input * shape.channels * shape.sums.bytes();
    return (shape.y.dilation == 1 || tiles.phases > 1) && shape.channels > tiles.lanes && (shape.x.open() || window_rows > near);
}

// Rows as far apart as the window's read the same ones of the image, which pays where a tile has few beside those that it reads only once.
// Each result's place then comes from its pixel, which as many multiplications as there are channels hide.
int choose_phases(const KnownShape &shape, int rows_of_tile) {
    constexpr int many_channels = 128;
    const KnownAxis &y = shape.y;
    if (!shape.known() || shape.channels_first || y.stride > 1 || y.output <= y.dilation) return 1;
    const bool worth = (y.kernel - 1) * (y.dilation - 1) > 2 * rows_of_tile && shape.depthwise_channels() >= many_channels;
    return worth ? y.dilation : 1;
}

// What a tile reads once more of the rows of its neighbours, and of the taps, in pixels of work: a line from the second-level cache takes
// as long as four multiplications.
double cost_of_reading_again(const KnownShape &shape, const KnownTiles &tiles) {
    if (shape.channels_first || !shares_far_rows(shape, tiles)) return 0;
    constexpr int multiplications = 4;
    const int rows = std::max(0, shape.y.kernel - shape.y.stride);
    return double(multiplications) * (double(rows) * shape.x.input + shape.window()) / shape.filters;
}

// The rows of a window are those of its neighbours, too, and the taps are the same everywhere: a few rows are computed at one place before
// the next, so that both come up from the second-level cache once for all of them.
void choose_band(KnownTiles &tiles, const KnownShape &shape, int highest) {
    // Where a strip's channels are all in the first-level cache for a few rows, memory is read in its order.
    constexpr int near = 36 << 10, few = 4, many = 8;
    auto bytes_of = [&](int rows) {
        const int columns = (tiles.together - 1) * shape.x.stride + shape.x.kernel, lines = (rows - 1) * shape.y.stride + shape.y.kernel;
        return double(columns) * lines * shape.channels * shape.sums.bytes();
    };
    constexpr int low_window = 3;
    tiles.rows_first = shape.y.kernel > low_window || bytes_of(few) > near;
    const int most = tiles.rows_first ? many : few;
    // Tiles that are turned lie row by row, and rows of a border have a loop of their own.
    const bool alone = shape.channels_first || tiles.border_apart || !shares_far_rows(shape, tiles);
    tiles.band = alone ? 1 : ceil_div(highest, ceil_div(highest, most));
}

KnownTiles choose_tiles(const KnownShape &shape, const TileWishes &wishes, const Target &target) {
    KnownTiles tiles = choose_vectors(shape, wishes, target);
    tiles.first_row = 0, tiles.rows = shape.y.output;
    // The tests of a window's rows cost the four instructions a cycle of a Neoverse-N1 a tenth of its multiplications.
    tiles.border_apart = registers(target).by_lane && shape.known() && !shape.channels_first && shape.y.has_border();
    const int most_rows = wishes.rows > 0 ? wishes.rows : registers(target).most_rows(tiles.vectors);

    const int pixel_bytes = ceil_div(shape.channels, tiles.lanes) * tiles.lanes * shape.multiplier * shape.sums.bytes();
    const int width = shape.x.output, height = shape.y.output;
    const TileBudget budget(shape, tiles, target);
    int most_pixels = std::max(budget.bytes / pixel_bytes, budget.least_blocks * most_rows);
    tiles.phases = choose_phases(shape, std::max(1, most_pixels / std::max(1, width)));
    // Fewer rows than the window has would read every row of the image that many times.
    if (shape.known() && target.has_feature(Target::AVX512_Skylake) && shares_far_rows(shape, tiles)) {
        most_pixels = std::max(most_pixels, std::min(2 * budget.bytes / pixel_bytes, shape.y.kernel * width));
    }
    constexpr int together = 7;
    if (!shape.known()) {
        tiles.most_pixels = std::min(most_pixels, (1 << KnownTiles::pixel_bits) - 1);
        tiles.count = 0, tiles.tile_groups = std::max(1, wishes.threads), tiles.filter_groups = 1;
        tiles.runs = {{most_rows, 0, 0}};
        // From twenty pixels on blocks of 6 and 5 leave none over; with more registers steps of two come close to that.
        const int step = most_rows >= 12 ? 2 : 1;
        if (most_rows > 2 * step) tiles.runs.push_back({most_rows - step, 0, 0});
        tiles.together = wishes.together > 0 ? wishes.together : shape.x.open() ? together : std::min(width, together);
        // The last strip and the last block go on beyond the tile.
        tiles.pixel_pitch = pixel_pitch(tiles.most_pixels + std::max(most_rows, tiles.together) - 1, tiles.lanes * shape.sums.bytes());
        choose_band(tiles, shape, tiles.most_pixels);
        choose_turns(tiles, shape);
        return tiles;
    }
    tiles.most_pixels = 0;
    const int asked = std::min(wishes.tiles, height);
    auto fewest_of = [&](int rows) { return asked > 0 ? asked : ceil_div(rows, std::max(1, most_pixels / width)); };
    const int panels = ceil_div(shape.filters, tiles.panel_width());
    // The depthwise stage beside the product; its multiplications wait more for what they load.
    const double depthwise = 1.6 * shape.window() / shape.filters;
    double least = std::numeric_limits<double>::infinity(), product = 0;
    const double start = budget.start + cost_of_reading_again(shape, tiles);
    // Pairs take two steps at once, and add their lanes after each block: they are left as they are.
    const int steps = tiles.paired ? std::numeric_limits<int>::max() : shape.depthwise_channels();
    std::map<std::pair<int, int>, TileCost> costs;
    auto cost_of = [&](int rows, int count) -> const TileCost & {
        if (const auto known = costs.find({rows, count}); known != costs.end()) return known->second;
        const int low = rows / count, more = rows % count;
        const Cover cover = cover_pixels(low * width, most_rows, tiles.vectors, steps, more == 0, target);
        const int block = cover.runs[0].rows;
        const double large = ceil_div((low + 1) * width, block) * block_cost(block, tiles.vectors, steps, target);
        return costs[{rows, count}] = {cover.cost + start, more == 0 ? 0 : large + start, cover.runs};
    };
    // The product's cost, and the depthwise stage's beside it, of the thread that has most to do.
    auto take = [&](double of_product, double of_depthwise, int rows, int count, int tile_groups, int filter_groups) {
        if (of_product + of_depthwise >= least) return;
        least = of_product + of_depthwise, product = of_product;
        tiles.rows = rows, tiles.count = count, tiles.tile_groups = tile_groups, tiles.filter_groups = filter_groups;
        tiles.runs = cost_of(rows, count).runs;
    };
    const int most_threads = worthwhile_threads(shape.operations(), wishes.threads);
    for (int threads = 1; threads <= most_threads; threads++) {
        const int panels_of_group = ceil_div(panels, threads), groups = ceil_div(panels, panels_of_group);
        // Fewer rows in a tile may fit the blocks better; each tile reads the panels anew, which is worth a few pixels.
        auto most_tiles = [&](int rows) { return std::min(rows, 4 * fewest_of(rows) + 3); };
        // Threads share the tiles; the rows that are over, if any, they compute afterwards, each for filters of its own.
        auto share_tiles = [&](int over, double product_over, double depthwise_over) {
            const int rows = height - over, first = ceil_div(fewest_of(rows), threads) * threads;
            for (int count = first; count <= std::min(rows, std::max(most_tiles(rows), first)); count += threads) {
                if (asked > 0 && count != asked) continue;
                const TileCost &cost = cost_of(rows, count);
                const int share = count / threads, large = std::max(0, ceil_div(rows, threads) - rows / count * share);
                const double all = large * cost.large + (share - large) * cost.small;
                take(all + product_over, all * depthwise + depthwise_over, rows, count, threads, 1);
            }
        };
        share_tiles(0, 0, 0);
        const int over = height % threads;
        if (over > 0 && over < height && over * width <= most_pixels && groups > 1 && asked == 0) {
            // To wait for each other and begin anew takes the threads as long as this many multiplications.
            constexpr double beginning = 4e5;
            const double all = cost_of(over, 1).small, turned = shape.channels_first ? cost_of_turning(shape, tiles, over) : 0;
            share_tiles(over, all * panels_of_group / panels + (beginning + turned) / shape.filters / shape.depthwise_channels(),
                        all * depthwise);
        }
        // Or each thread computes all tiles for filters of its own, and the depthwise stage again.
        const int fewest = fewest_of(height);
        for (int count = fewest; groups > 1 && count <= std::max(most_tiles(height), fewest); count++) {
            if (asked > 0 && count != asked) continue;
            const TileCost &cost = cost_of(height, count);
            const int large = height % count;
            const double all = large * cost.large + (count - large) * cost.small;
            take(all * panels_of_group / panels, all * depthwise, height, count, 1, groups);
        }
    }
    auto finish = [&](KnownTiles &part) {
        const int highest = ceil_div(part.rows, part.count);
        // A tile of one row is inside or not as a whole. With loops for both, several groups of threads read columns beside the image as if
        // they were inside it (seen on arm-64: 8×40 960→160 with two).
        part.border_apart = part.border_apart && highest > 1;
        part.together = wishes.together > 0 ? wishes.together : std::min(width, strip_of(width, target));
        part.pixel_pitch = pixel_pitch(width * highest, part.lanes * shape.sums.bytes());
        choose_band(part, shape, highest);
        choose_turns(part, shape);
    };
    if (tiles.rows < height) {
        KnownTiles over = tiles;
        over.first_row = tiles.rows, over.rows = height - tiles.rows, over.count = 1, over.tile_groups = 1;
        over.filter_groups = tiles.tile_groups, over.runs = cost_of(over.rows, 1).runs;
        finish(over);
        tiles.over.push_back(over);
    }
    finish(tiles);
    if (const auto planes = choose_planes(shape, wishes, target)) {
        const double turned = product * panels * tiles.vectors * shape.depthwise_channels() + cost_of_turned_stages(shape, tiles);
        if (wishes.form == PlaneForm::planes || (wishes.form == PlaneForm::chosen && planes->cost < turned)) {
            tiles.planes = planes->tiles;
            tiles.over.clear(), tiles.rows = height;
            tiles.count = planes->count, tiles.tile_groups = planes->tile_groups, tiles.filter_groups = 1;
        }
    }
    return tiles;
}

void schedule_known_shape(Func output, int update, const KnownStages &s, const KnownShape &shape, const KnownTiles &tiles,
                          const Target &target) {
    const int panel = tiles.panel_width();
    // A loop is found by its name, so that no other update has one of the same.
    const std::string of_update = update > 0 ? "_" + std::to_string(update) : "";
    Var outer("outer" + of_update), inner("inner"), vector("vector" + of_update);
    output.bound(s.filter, 0, shape.filters);
    Stage store = output.update(update);
    const int lanes = shape.channels_first ? tiles.turned_output : tiles.filter_lanes;
    // By vectors first: where the filters are whole vectors, a test is for one of them and not for each of its lanes.
    const auto tail = [](int extent, int part) { return extent % part == 0 ? TailStrategy::RoundUp : TailStrategy::GuardWithIf; };
    store.allow_race_conditions()
        .split(s.filter, vector, inner, lanes, tail(shape.filters, lanes))
        .split(vector, outer, vector, panel / lanes, tail(ceil_div(shape.filters, lanes), panel / lanes));
    std::vector<VarOrRVar> loops = {inner, vector, s.pixels.x, s.pixels.y, outer, s.pixels.z, s.pixels.w, s.n, s.pixels[4]};
    if (shape.channels_first) {
        loops = {s.pixels.x, inner, vector, s.pixels.y, outer, s.pixels.z, s.pixels.w, s.n, s.pixels[4]};
        store.reorder(loops).vectorize(s.pixels.x).unroll(inner);
        schedule_square(s.square, tiles.turned_output, LoopLevel(output, vector), s);
        schedule_square(s.turned_square, tiles.turned_output, LoopLevel(output, vector), s);
    } else {
        store.reorder(loops).vectorize(inner).unroll(vector).unroll(s.pixels.x);
    }
    if (tiles.filter_groups > 1) {
        Var group("group");
        store.split(outer, group, outer, ceil_div(ceil_div(shape.filters, panel), tiles.filter_groups), TailStrategy::GuardWithIf);
        loops.push_back(group);
        store.reorder(loops).parallel(group);
    } else if (tiles.tile_groups > 1) {
        store.parallel(s.pixels[4]);
    }
    // The tests there are for the end of a tile: a few of its blocks need none, but a loop of their own for them is not worth its size.
    // The last panel is another matter: where it is not full, what its filters are is known there, and the others are not computed.
    if (!shape.known()) store.never_partition_all().partition(outer, Partition::Auto);
    Func panel_of_tile = s.panel;
    const bool whole_panel = shape.known() || shape.channels_first;
    if (panel_of_tile.defined()) {
        if (whole_panel) {
            panel_of_tile.compute_at(output, outer).bound_storage(s.pixel, tiles.pixel_pitch);
        } else {
            panel_of_tile.compute_at(output, s.pixels.y)
                .bound_extent(s.pixel, tiles.runs[0].rows)
                .bound_extent(s.pixel_block, 1)
                .vectorize(s.filter, tiles.filter_lanes)
                .unroll(s.filter)
                .unroll(s.pixel);
        }
        panel_of_tile.store_in(MemoryType::Stack).bound_extent(s.filter, panel).bound_extent(s.tile_x, 1).bound_extent(s.tile_y, 1);
    }
    for (std::size_t i = 0; i < s.runs.size(); i++) {
        const KnownStages::Run &run = s.runs[i];
        Func accumulated = run.accumulated;
        LoopLevel block(output, s.pixels.y);
        if (panel_of_tile.defined()) {
            Stage part = panel_of_tile.update(static_cast<int>(i));
            part.allow_race_conditions().split(s.filter, vector, inner, tiles.filter_lanes);
            if (whole_panel) {
                part.reorder(inner, vector, run.blocks.x, run.blocks.y, s.tile_x, s.tile_y, s.n);
                block = LoopLevel(panel_of_tile, run.blocks.y);
            } else {
                // Inside the test for the block's height, which names the block and the tile.
                part.reorder(inner, vector, run.blocks.x, s.n, s.tile_x, s.tile_y, s.pixel_block).never_partition_all();
                block = LoopLevel(panel_of_tile, s.n);
            }
            part.vectorize(inner).unroll(vector).unroll(run.blocks.x);
        }
        accumulated.compute_at(block)
            .store_in(MemoryType::Stack)
            .bound_extent(s.filter, panel)
            .bound_extent(s.pixel, tiles.runs[i].rows)
            .bound_extent(s.pixel_block, 1)
            .bound_extent(s.tile_x, 1)
            .bound_extent(s.tile_y, 1)
            .vectorize(s.filter, tiles.filter_lanes)
            .unroll(s.filter)
            .unroll(s.pixel);
        if (tiles.paired) {
            schedule_pairs(run, s, tiles, tiles.runs[i].rows, block);
            continue;
        }
        for (int part = 0; part < (run.rest.defined() ? 2 : 1); part++) {
            const RDom &q = part == 0 ? run.whole : run.rest;
            accumulated.update(part)
                .reorder(s.filter, s.pixel, q.x, q.y)
                .vectorize(s.filter, tiles.filter_lanes, TailStrategy::RoundUp)
                .unroll(s.filter)
                .unroll(s.pixel);
        }
        // A pixel's lanes in one register: each step takes one of them. A load with a broadcast for every step takes 60 % more
        // instructions.
        const bool by_lane = registers(target).by_lane;
        const int steps = by_lane ? tiles.lanes : hiding;
        if (tiles.lanes % steps == 0) accumulated.update(0).unroll(run.whole.x, steps);
        if (by_lane) {
            Func staged = run.staged;
            staged.compute_at(accumulated, run.whole.y)
                .store_in(MemoryType::Stack)
                .bound_extent(s.lane, tiles.lanes)
                .bound_extent(s.pixel, tiles.runs[i].rows)
                .vectorize(s.lane)
                .unroll(s.pixel);
        }
    }

    Func scratch = s.scratch;
    scratch.compute_at(output, s.pixels.z)
        .bound_extent(s.lane, tiles.lanes)
        .bound_extent(s.tile_x, 1)
        .bound_extent(s.tile_y, 1)
        .bound_storage(s.pixel, tiles.pixel_pitch);
    const int blocks = ceil_div(shape.channels, tiles.lanes) * shape.multiplier;
    if (tiles.pixel_pitch * tiles.lanes * shape.sums.bytes() <= most_stack_bytes / blocks) scratch.store_in(MemoryType::Stack);
    for (std::size_t i = 0; i < s.fills.size(); i++) {
        const RDom &outputs = s.fills[i].outputs;
        Stage fill = scratch.update(static_cast<int>(i));
        Var multiplied("multiplied");
        VarOrRVar strip = shape.channels_first ? VarOrRVar(outputs.z) : VarOrRVar(s.block);
        if (shape.channels_first) {
            // A block's channels, turned, are for all its multipliers and rows.
            fill.split(s.block, s.block, multiplied, shape.multiplier)
                .reorder({s.lane, outputs.x, outputs.y, outputs.z, outputs.w, multiplied, s.block, s.tile_x, s.tile_y, s.n});
        } else if (tiles.rows_first) {
            fill.reorder({s.lane, outputs.x, outputs.y, s.block, outputs.z, outputs.w, s.tile_x, s.tile_y, s.n});
            strip = outputs.y;
        } else {
            fill.reorder({s.lane, outputs.x, s.block, outputs.y, outputs.z, outputs.w, s.tile_x, s.tile_y, s.n});
        }
        fill.vectorize(s.lane, tiles.lanes).unroll(outputs.x);
        if (Func mask = s.fills[i].mask; mask.defined()) {
            mask.compute_at(scratch, outputs.z).bound_extent(s.strip, 1).bound_extent(s.tile_x, 1);
        }
        Func sum = s.fills[i].sum;
        sum.compute_at(LoopLevel(scratch, strip))
            .store_in(MemoryType::Stack)
            .bound_extent(s.x, tiles.together)
            .bound_extent(s.lane, tiles.lanes)
            .bound_extent(s.strip, 1)
            .bound_extent(s.y, 1)
            .bound_extent(s.tile_x, 1)
            .bound_extent(s.tile_y, 1)
            .vectorize(s.lane)
            .unroll(s.x);
        constexpr int unrolled_window = 49;
        const RDom &window = s.fills[i].window;
        sum.update().reorder(s.lane, s.x, window.x, window.y).vectorize(s.lane).unroll(s.x);
        if (shape.window() <= unrolled_window) sum.update().unroll(window.x).unroll(window.y);
        if (!shape.known()) fill.never_partition_all();
        if (!tiles.whole_rows(shape) || shape.channels_first) continue;
        fill.partition(outputs.z, Partition::Auto);
        // Few blocks in a row: written out, every test for the border is decided.
        const int strips = ceil_div(shape.x.output, tiles.together);
        constexpr int written_out = 512;
        if (strips * tiles.together * shape.window() <= written_out) fill.unroll(outputs.z);
    }
    if (Func turned = s.turned; turned.defined()) {
        if (tiles.turned_pitch <= most_stack_bytes / shape.sums.bytes() / tiles.lanes) turned.store_in(MemoryType::Stack);
        turned.compute_at(scratch, s.block)
            .bound_extent(s.lane, tiles.lanes)
            .bound_extent(s.block, 1)
            .bound_extent(s.tile_x, 1)
            .bound_extent(s.tile_y, 1)
            .bound_storage(s.pixel, tiles.turned_pitch);
        for (std::size_t i = 0; i < s.turns.size(); i++) {
            const RDom &pixels = s.turns[i].pixels;
            const Func &square = s.turns[i].square;
            const int side = square.defined() ? as_const_int(pixels.x.extent()).value() : tiles.lanes;
            Var part("part");
            turned.update(static_cast<int>(i))
                .split(s.lane, part, s.lane, side)
                .reorder(s.lane, pixels.x, part, pixels.y, pixels.z, s.block, s.tile_x, s.tile_y, s.n)
                .vectorize(s.lane)
                .unroll(pixels.x)
                .unroll(part);
            if (square.defined()) schedule_square(square, side, LoopLevel(turned, part), s);
        }
    }
    for (Func number : s.of_tile) {
        number.compute_at(output, s.pixels.z);
        for (const Var &tile : number.args()) number.bound_extent(tile, 1);
    }
    for (Func packed : {s.taps, s.panels, s.bias}) {
        if (packed.defined()) packed.compute_root();
    }
}

}  // namespace sepconv
