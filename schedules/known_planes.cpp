// Known images of channels_first in planes: the sizes of tiles and blocks, and their schedule.
#include <algorithm>
#include <limits>

#include "schedules/known_planes.h"
#include "schedules/registers.h"

using namespace Halide;

namespace sepconv {
namespace {

// What a block of vectors × filters sums costs for each step of the reduction, in multiply-adds of vectors.
double block_cost(int vectors, int filters, const Target &target) {
    const Registers machine = registers(target);
    const int sums = vectors * filters;
    const double cost = std::max(sums, machine.enough);
    if (machine.by_lane) return cost;
    // Each number of the weights is loaded for itself, and without AVX-512 by an instruction of its own. One vector of pixels with 16
    // filters takes 4 % more than two with 8 on an Emerald Rapids.
    const double loads = filters + vectors, load = target.has_feature(Target::AVX512_Skylake) ? 0.1 : 0.15;
    return cost + load * loads;
}

// The most filters that the sums of a block have registers for.
int most_filters(int vectors, const Target &target) {
    const Registers machine = registers(target);
    if (!machine.by_lane) return (machine.count - vectors - machine.spare) / vectors;
    // The weights of four filters are one register.
    int filters = 4;
    while (vectors * (filters + 4) + vectors + (filters + 4) / 4 + machine.spare <= machine.count) filters += 4;
    return filters;
}

// A row's strip: the columns of one phase of the stride that its vectors read.
int strip_pitch(const KnownShape &shape, int lanes) {
    return std::max(shape.x.output, lanes) + (shape.x.kernel - 1) * shape.x.dilation / shape.x.stride;
}

// What a tile of some rows reads of a channel, in bytes; more than an int may hold under a wide window.
double strip_bytes(const KnownShape &shape, int lanes, int rows) {
    auto span = [](double outputs, const KnownAxis &axis) { return (outputs - 1) * axis.stride + (axis.kernel - 1.0) * axis.dilation + 1; };
    return span(std::max(shape.x.output, lanes), shape.x) * span(rows, shape.y) * shape.sums.bytes();
}

int strip_channels(const KnownShape &shape, int strip) {
    // More would leave the first-level cache too far behind; fewer are read before the last of them is written.
    constexpr int most = 6 << 10;
    int channels = 1;
    for (int count = 1; count <= shape.channels && count * strip <= most; count++) {
        if (shape.channels % count == 0) channels = count;
    }
    return channels;
}

}  // namespace

std::optional<PlaneChoice> choose_planes(const KnownShape &shape, const TileWishes &wishes, const Target &target) {
    if (!shape.known() || !shape.channels_first) return {};
    PlaneTiles tiles = {};
    tiles.lanes = target.natural_vector_size(shape.sums);
    const int width = shape.x.output, height = shape.y.output, steps = shape.depthwise_channels(), bytes = shape.sums.bytes();
    if (tiles.lanes == 1 || width * height < tiles.lanes) return {};
    // Under a wide window, of which a tile reads far more than it has outputs, the strip is not worth its memory.
    constexpr double most_strip_bytes = 1 << 20;
    if (strip_bytes(shape, tiles.lanes, 1) > most_strip_bytes) return {};
    constexpr int small_window = 9;
    const int together = registers(target).count >= 32 || shape.window() <= small_window ? 4 : 2;
    const bool direct =
        shape.image == shape.sums && !shape.x.has_border() && !shape.y.has_border() && shape.x.stride == 1 && width >= tiles.lanes;

    // The depthwise stage: vectors of a row lie across cache lines, a large window's taps have no registers, and a copied row begins and
    // ends with zeros.
    const double unaligned = shape.window() <= small_window ? 1.3 : 2.3;
    constexpr double copied = 3, zeros = 2;
    auto depthwise_cost = [&](int rows) {
        const int band = std::min(rows, together), vectors = ceil_div(width, tiles.lanes);
        const double sums = static_cast<double>(ceil_div(rows, band) * band) * vectors * shape.window() * unaligned * shape.multiplier;
        const double copied_row = (ceil_div(strip_pitch(shape, tiles.lanes), tiles.lanes) + zeros) * shape.x.stride;
        return shape.channels * (sums + (direct ? 0 : shape.y.span(rows) * copied_row * copied));
    };

    PlaneChoice best;
    best.cost = std::numeric_limits<double>::infinity();
    // Of the cache that a core has for itself: half a MiB and more, and with AVX-512 a whole one.
    const int scratch_bytes = target.has_feature(Target::AVX512_Skylake) ? 256 << 10 : 200 << 10;
    const int least_pixels = 8 * tiles.lanes, most_pixels = std::max(scratch_bytes / bytes / steps, least_pixels);
    const int asked = std::min(wishes.tiles, height), fewest = asked > 0 ? asked : ceil_div(height, std::max(1, most_pixels / width));
    for (int groups = 1; groups <= worthwhile_threads(shape.operations(), wishes.threads); groups++) {
        const int first = ceil_div(fewest, groups) * groups, last = asked > 0 ? first : std::min(height, std::max(4 * fewest + 3, first));
        for (int count = first; count <= last; count += groups) {
            const int low = height / count, high = ceil_div(height, count);
            if (strip_bytes(shape, tiles.lanes, high) > most_strip_bytes) continue;
            const int share = count / groups, highs = high == low ? share : std::max(0, ceil_div(height, groups) - low * share);
            for (int vectors = 1; vectors <= 4; vectors++) {
                if (wishes.vectors > 0 && vectors != wishes.vectors) continue;
                const int pixels = vectors * tiles.lanes;
                if (pixels > low * width) break;
                const int most = std::min(most_filters(vectors, target), shape.filters);
                for (int filters = 1; filters <= most; filters++) {
                    if (wishes.rows > 0 ? filters != std::min(wishes.rows, most) : filters < std::min(most, 2)) continue;
                    const double panels = ceil_div(shape.filters, filters), sums = vectors * filters;
                    // A block starts with its bias, and ends with its activation and its stores.
                    const double block = steps * block_cost(vectors, filters, target) + 2 * sums + 8;
                    auto cost_of = [&](int rows) {
                        constexpr double start = 100;
                        return ceil_div(rows * width, pixels) * panels * block + depthwise_cost(rows) + start;
                    };
                    const double cost = highs * cost_of(high) + (share - highs) * cost_of(low);
                    if (cost >= best.cost) continue;
                    best.cost = cost, best.count = count, best.tile_groups = groups;
                    tiles.vectors = vectors, tiles.filters = filters;
                    best.tiles = tiles;
                }
            }
        }
    }
    if (best.cost == std::numeric_limits<double>::infinity()) return {};

    const int most = ceil_div(height, best.count), low = height / best.count;
    PlaneTiles &chosen = best.tiles;
    chosen.together = std::min(wishes.together > 0 ? wishes.together : together, low);
    constexpr int near_bytes = 32 << 10;
    chosen.panels_within = steps * chosen.block_pixels() * bytes <= near_bytes;
    // A short row's vector goes on beyond the tile.
    chosen.pixel_pitch = pixel_pitch(most * width + (width < chosen.lanes ? chosen.lanes - width : 0), bytes);
    chosen.strip_pitch = direct ? 0 : strip_pitch(shape, chosen.lanes);
    chosen.strip_channels = strip_channels(shape, chosen.strip_pitch * shape.x.stride * shape.y.span(most));
    return best;
}

void schedule_known_planes(Func output, const PlaneStages &s, const KnownShape &shape, const KnownTiles &tiles, const Target &target) {
    const PlaneTiles &cut = *tiles.planes;
    const RDom &b = s.blocks;
    RVar lane("lane"), vector("vector");
    Stage store = output.update();
    store.allow_race_conditions().split(b.x, vector, lane, s.block_lanes);
    // The domain's own order.
    std::vector<VarOrRVar> loops = {lane, vector, b.y, b.z, b.w, b[4], b[5], s.n, b[6]};
    store.reorder(loops).vectorize(lane).unroll(vector).unroll(b.y).never_partition_all();
    if (tiles.tile_groups > 1) store.parallel(b[6]);

    Func accumulated = s.accumulated;
    accumulated.compute_at(LoopLevel(output, b.z))
        .store_in(MemoryType::Stack)
        .bound_extent(s.pixel, s.block_lanes * s.row_vectors)
        .bound_extent(s.filter, cut.filters)
        .bound_extent(s.panel, 1)
        .bound_extent(s.block, 1)
        .bound_extent(s.row, 1)
        .bound_extent(s.tile, 1)
        .vectorize(s.pixel, s.block_lanes)
        .unroll(s.pixel)
        .unroll(s.filter);
    Stage product = accumulated.update();
    product.reorder(s.pixel, s.filter, s.steps.x).vectorize(s.pixel, s.block_lanes, TailStrategy::RoundUp).unroll(s.pixel).unroll(s.filter);
    // Steps that are unrolled hide the loop's own instructions behind the multiplications. Products that are added apart would then spill.
    constexpr int hiding = 2;
    const Registers machine = registers(target);
    const bool apart = !machine.by_lane && !target.has_feature(Target::FMA);
    RVar step("step"), part("part"), innermost = s.steps.x;
    if (shape.depthwise_channels() % hiding == 0 && !apart) {
        product.split(s.steps.x, step, part, hiding).unroll(part);
        innermost = part;
    }
    if (machine.by_lane) {
        Func staged = s.staged;
        staged.compute_at(accumulated, innermost)
            .store_in(MemoryType::Stack)
            .bound_extent(s.filter, cut.filters)
            .bound_extent(s.panel, 1)
            .vectorize(s.filter, lanes_within(cut.filters, cut.lanes), TailStrategy::GuardWithIf)
            .unroll(s.filter);
    }

    Func scratch = s.scratch;
    scratch.compute_at(LoopLevel(output, b[5])).bound_extent(s.tile, 1).bound_storage(s.pixel, cut.pixel_pitch);
    if (cut.pixel_pitch * shape.sums.bytes() <= most_stack_bytes / shape.depthwise_channels()) scratch.store_in(MemoryType::Stack);
    Stage fill = scratch.update();
    Var channels("channels"), channel("channel_of_strip");
    const int of_strip = cut.strip_channels * shape.multiplier;
    fill.allow_race_conditions()
        .split(s.channel, channels, channel, of_strip, TailStrategy::RoundUp)
        .reorder(s.columns.x, s.columns.y, s.columns.z, s.columns.w, channel, channels, s.tile, s.n)
        .vectorize(s.columns.x)
        .unroll(s.columns.y)
        .never_partition_all();
    Func sum = s.sum;
    sum.compute_at(LoopLevel(scratch, s.columns.z))
        .store_in(MemoryType::Stack)
        .bound_extent(s.x, cut.lanes)
        .bound_extent(s.y, cut.together)
        .bound_extent(s.vector, 1)
        .bound_extent(s.band, 1)
        .bound_extent(s.channel, 1)
        .bound_extent(s.tile, 1)
        .vectorize(s.x)
        .unroll(s.y);
    sum.update().reorder(s.x, s.y, s.window.x, s.window.y).vectorize(s.x).unroll(s.y);
    constexpr int unrolled_window = 49;
    if (shape.window() <= unrolled_window) sum.update().unroll(s.window.x).unroll(s.window.y);

    if (Func strip = s.strip; strip.defined()) {
        if (strip_bytes(shape, cut.lanes, ceil_div(shape.y.output, tiles.count)) * cut.strip_channels <= most_stack_bytes) {
            strip.store_in(MemoryType::Stack);
        }
        strip.compute_at(LoopLevel(scratch, channels))
            .bound_extent(s.c, cut.strip_channels)
            .bound_extent(s.tile, 1)
            .bound_storage(s.x, cut.strip_pitch);
        for (std::size_t i = 0; i < s.copies.size(); i++) {
            const RDom &at = s.copies[i];
            strip.update(static_cast<int>(i))
                .allow_race_conditions()
                .reorder(at.x, at.y, at.z, s.c, s.tile, s.n)
                .vectorize(at.x)
                .never_partition_all();
        }
    }
    for (Func packed : {s.taps, s.panels, s.bias}) {
        if (packed.defined()) packed.compute_root();
    }
}

}  // namespace sepconv
