// The choice of functions and tiles. Figures behind the rules are in docs/benchmarks.md.
#include "plan.h"

#include <unistd.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>

#include "activation.h"

namespace sepconv {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }
std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

std::int64_t bytes_of(Dtype type) { return type == Dtype::float16 ? 2 : 4; }

Axis make_axis(std::int64_t input, std::int64_t kernel, std::int64_t stride, std::int64_t dilation, Padding padding) {
    const WindowFit fit = fit_window(input, kernel, stride, dilation, padding);
    Axis axis{input, fit.output, kernel, stride, dilation, fit.before};
    const std::int64_t last_output = (fit.output - 1) * stride;
    const std::int64_t first = std::max<std::int64_t>(0, ceil_div(fit.before - last_output, dilation));
    const std::int64_t last = std::min(kernel - 1, floor_div(input - 1 + fit.before, dilation));
    // Where a large dilation misses the image with every tap, one that reads zeros is kept.
    axis.first_tap = std::min(first, kernel - 1);
    axis.taps = std::max<std::int64_t>(1, last - axis.first_tap + 1);
    return axis;
}

bool fits(int promised, std::int64_t value) { return promised == 0 || promised == value; }

// Whether a few rows of one block of channels had better come before the next block: what a strip of outputs reads there, of all channels,
// is more than the first-level cache has room for, and that of one block, and half as much beside it, does not fall into so few of its
// sets that they overflow.
bool rows_before_channels(const Plan &plan, const RowParams &p) {
    constexpr std::int64_t near = 64 << 10, rows = 4, line = 64, sets = 64, ways = 12;
    const std::int64_t columns = (p.together - 1) * p.stride + p.kernel, lines = columns * ((rows - 1) * p.stride + p.kernel);
    const std::int64_t pixel = plan.channels * bytes_of(plan.type);
    const std::int64_t apart = pixel % line == 0 ? std::gcd(pixel / line, sets) : 1;
    return lines * pixel > near && 3 * lines <= 2 * sets / apart * ways;
}

// The most special row for a window, from a strip or from the image; `together` 1 or the largest there is. Of two for the image, one takes
// all channels of a row before the next row, the other a few rows of a block of channels before the next block.
const Row *find_depthwise(const Plan &plan, const BuiltTarget &target, int lanes, bool strip, bool single) {
    const Row *best = nullptr;
    auto promises = [](const RowParams &p) { return (p.kernel > 0) + (p.stride > 0) + (p.dilation > 0); };
    for (const Row &row : rows_of(target, Stage::depthwise)) {
        const RowParams &p = row.params;
        if (p.channels_first != plan.planes() || p.lanes != lanes || p.strip != strip || (p.together == 1) != single) continue;
        if (!fits(p.kernel, plan.x.taps) || !fits(p.kernel, plan.y.taps)) continue;
        if (!fits(p.kernel, plan.x.kernel)) continue;  // the rows of the packed window would lie further apart than promised
        if (!fits(p.stride, plan.x.stride_in_phase()) || !fits(p.stride, plan.y.stride_in_phase())) continue;
        if (!fits(p.dilation, plan.x.dilation_in_phase()) || !fits(p.dilation, plan.y.dilation_in_phase())) continue;
        const int more = best == nullptr ? 1 : promises(p) - promises(best->params);
        if (more > 0 || (more == 0 && p.rows_first == rows_before_channels(plan, p))) best = &row;
    }
    return best;
}

// A row that reads values of one type and writes those of another.
const Row *find_row(const BuiltTarget &target, Stage stage, Dtype image_type, Dtype type, const RowParams &wanted) {
    for (const Row &row : rows_of(target, stage)) {
        const RowParams &p = row.params;
        if (row.image_type == image_type && row.type == type && p.channels_first == wanted.channels_first && p.lanes == wanted.lanes &&
            p.narrow == wanted.narrow && p.dense == wanted.dense && p.spread == wanted.spread && p.vectors == wanted.vectors &&
            (wanted.rows == 0 || p.rows == wanted.rows) && p.stride == wanted.stride &&
            p.activation == std::string_view(wanted.activation)) {
            return &row;
        }
    }
    return nullptr;
}

const Row *find_row(const BuiltTarget &target, Stage stage, const RowParams &wanted) {
    return find_row(target, stage, target.type, target.type, wanted);
}

// What a block of rows × vectors accumulators costs, in pixels of work. Few accumulators leave the multipliers waiting for each other
// (measured on x86; ten on AVX2 6 % more than twelve; 20 and more overlap less with the next block when the reduction is short).
double block_cost(int rows, int vectors, const BuiltTarget &target, std::int64_t reduction) {
    const int accumulators = rows * vectors;
    double factor = 1;
    if (accumulators >= 20) {
        factor = reduction < 256 ? 1.04 : 1.01;
    } else if (accumulators < target.sums) {
        factor = accumulators >= 10                        ? (target.lanes == 16 ? 1.1 : 1.06)
                 : accumulators >= 8 && target.lanes == 16 ? 1.25
                                                           : 10.0 / accumulators;
    }
    return rows * factor + 0.25;
}

// Covers a number of pixels with one or two heights of blocks, cheapest first. The last block of a piece moves back to end with the
// piece, so a piece has at least as many pixels as its block.
PixelCover cover_pixels(const BuiltTarget &target, const PanelRun &run, std::int64_t pixels, std::int64_t reduction, bool far) {
    constexpr double call = 1;
    // The first block of a panel that comes from beyond the core's own cache waits for it, unless it has that many pixels to compute
    // meanwhile: on an Emerald Rapids 7×7 1024→1024 takes 6 % less with blocks of 13 and 12 than of 7.
    const double arrival = 12;
    auto waiting = [&](int rows) { return far ? std::max(0.0, arrival - rows) : 0.0; };
    PixelCover best;
    double least = std::numeric_limits<double>::infinity();
    const std::span<const Row> rows = rows_of(target, Stage::pointwise);
    auto candidate = [&](const Row &row) {
        return !row.params.channels_first && row.params.vectors == run.vectors && row.params.lanes == run.lanes;
    };
    for (const Row &a : rows) {
        if (!candidate(a) || a.params.rows > pixels) continue;
        const int rows_a = a.params.rows;
        const double cost_a = block_cost(rows_a, run.vectors, target, reduction);
        const double alone = static_cast<double>(ceil_div(pixels, rows_a)) * cost_a + waiting(rows_a) + call;
        if (alone < least) {
            least = alone;
            best = {PixelPiece{&a, 0, pixels}, PixelPiece{}};
        }
        for (const Row &b : rows) {
            if (!candidate(b) || b.params.rows >= rows_a) continue;
            const int rows_b = b.params.rows;
            const double cost_b = block_cost(rows_b, run.vectors, target, reduction);
            for (std::int64_t blocks = std::max<std::int64_t>(1, pixels / rows_a - 2); blocks <= pixels / rows_a; blocks++) {
                const std::int64_t rest = pixels - blocks * rows_a, start = std::min(blocks * rows_a, pixels - rows_b);
                if (rest <= 0) continue;
                const double both = static_cast<double>(blocks) * cost_a + static_cast<double>(ceil_div(rest, rows_b)) * cost_b +
                                    waiting(rows_a) + 2 * call;
                if (both < least) {
                    least = both;
                    best = {PixelPiece{&a, 0, blocks * rows_a}, PixelPiece{&b, start, pixels - start}};
                }
            }
        }
    }
    return best;
}

// channels_first: vectors of pixels, three at a time; twos where that wastes none, one where there is but one.
PixelCover cover_pixel_vectors(const BuiltTarget &target, int filters, std::int64_t pixels) {
    auto row = [&](int vectors) {
        return find_row(target, Stage::pointwise, {.channels_first = true, .lanes = target.lanes, .rows = filters, .vectors = vectors});
    };
    const int widest = row(3) != nullptr ? 3 : 2;
    const std::int64_t vectors = ceil_div(pixels, target.lanes);
    std::int64_t wide = vectors - vectors % widest;
    if (widest == 3 && vectors % 3 == 1) wide = std::max<std::int64_t>(0, vectors - 4);
    const int rest = static_cast<int>(vectors - wide);
    const std::int64_t start = wide * target.lanes;
    const PixelPiece second = rest > 0 ? PixelPiece{row(rest == 4 ? 2 : rest), start, pixels - start} : PixelPiece{};
    if (wide == 0) return {second, PixelPiece{}};
    return {PixelPiece{row(widest), 0, std::min(start, pixels)}, second};
}

// Planes: groups of as many filters as there is a function for, then of half as many, and so on.
void group_filters(Plan &plan, const BuiltTarget &target) {
    int largest = 1;
    for (const Row &row : rows_of(target, Stage::pointwise)) {
        if (row.params.channels_first) largest = std::max(largest, row.params.rows);
    }
    for (int i = 0; largest > 0; i++, largest /= 2) plan.groups[i] = largest;
}

Epilogue make_epilogue(const Activation &activation, const BuiltTarget &target) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    Epilogue epilogue{EpilogueKind::clamp, -infinity, infinity, nullptr};
    if (const std::optional<Clamp> clamp = as_clamp(activation)) {
        epilogue.low = clamp->low, epilogue.high = clamp->high;
        return epilogue;
    }
    epilogue.activated = find_row(target, Stage::activated, {.activation = row_name(activation.kind), .lanes = target.lanes});
    epilogue.kind = EpilogueKind::elementwise;
    if (!is_elementwise(activation.kind)) {
        const bool innermost = activation.axes.size() == 1 && (activation.axes[0] == -1 || activation.axes[0] == 3);
        epilogue.kind = innermost ? EpilogueKind::rows : EpilogueKind::image;
    }
    return epilogue;
}

constexpr int turned_lanes = 4;

// Values of scratch in a third of the cache that a core has for itself; less makes the product read its panels more often, more evicts
// them. Of a cache of 2 MiB half of that: on an Emerald Rapids layers take 1.3 % less in the geometric mean, 56×56 144→32 with stride 2
// 10 %.
std::int64_t scratch_budget(const BuiltTarget &target) {
    constexpr std::int64_t most = 300 << 10;
    return std::max<std::int64_t>(1, std::min(private_cache_bytes() * 3 / 10, most) / bytes_of(target.type));
}

// channels_first: whether turning tiles costs less than what vectors of pixels leave unused, both in multiply-adds for each output pixel.
// Figures measured on Zen 4.
bool worth_transposing(const Plan &plan, const BuiltTarget &target, bool rows_contiguous) {
    const double at_once = target.lanes == 4 ? 4 : 16;  // multiply-adds in a cycle
    // Cycles for an output that is turned, and for an input beyond its copy into a plane's strip, which costs as much with a stride.
    constexpr double turned_output = 0.45, turned_input = 0.25;
    const double input = plan.x.stride == 1 ? turned_input * static_cast<double>(plan.channels) : 0;
    // Vectors of pixels lie across cache lines, and share no loads along the row.
    constexpr double unaligned = 1.3;
    const std::int64_t channels = plan.channels * plan.multiplier, budget = scratch_budget(target);
    // Rows that outgrow the cache are split only as planes.
    if (plan.x.output * round_up(channels, target.lanes) > 2 * budget) return false;
    const std::int64_t rows = std::clamp<std::int64_t>(budget / (plan.x.output * channels), 1, plan.y.output);
    const bool flat = plan.y.step == 1 && rows_contiguous;
    auto unused = [&](std::int64_t pixels) {
        return static_cast<double>(round_up(pixels, target.lanes)) / static_cast<double>(pixels) - 1;
    };
    const double window = static_cast<double>(plan.x.taps * plan.y.taps), filters = static_cast<double>(plan.filters);
    const double depthwise = window * (unaligned * (1 + unused(plan.x.output)) - 1);
    const double product = filters * unused(flat ? plan.x.output * rows : plan.x.output);
    return at_once * (turned_output * filters + input) < static_cast<double>(channels) * (depthwise + product);
}

// Whether any output of the tile's columns (or of all rows) reads beside the image.
std::int64_t outputs_inside(const Axis &axis) {
    const std::int64_t first = std::max<std::int64_t>(0, ceil_div(-axis.position(0, 0), axis.stride));
    const std::int64_t last_tap = axis.position(0, 0) + (axis.taps - 1) * axis.dilation;
    const std::int64_t end = std::min(axis.output, floor_div(axis.input - 1 - last_tap, axis.stride) + 1);
    return std::max<std::int64_t>(0, end - first);
}

// The work of the busiest of some tasks that take tiles from a queue, beside an even share of it.
double busiest_by_rows(const Plan &plan, std::int64_t others, std::int64_t tiles_y, int concurrency) {
    const std::int64_t rows = plan.y.outputs(0);
    if (others * tiles_y >= 8 * concurrency) return 1;
    const std::int64_t tiles = others * tiles_y;
    const std::int64_t most = std::max(ceil_div(others * rows, concurrency), ceil_div(tiles, concurrency) * (rows / tiles_y));
    return static_cast<double>(most * concurrency) / static_cast<double>(others * rows);
}

// The same where each of `parts` takes a share of the filters.
double busiest_by_filters(const PackedWeights &packed, int parts, int concurrency) {
    std::int64_t most = 0, all = 0;
    for (int part = 0; part < parts; part++) {
        std::int64_t width = 0;
        for (const PanelRun &run : packed.runs) width += packed.panels_of(run, part, parts).count * run.width;
        most = std::max(most, width);
        all += width;
    }
    return static_cast<double>(most * concurrency) / static_cast<double>(all);
}

// How many of an image's rows are better shared by filters than given to some of the tasks.
std::int64_t worth_sharing(const Plan &plan, const PackedWeights &packed, std::int64_t tiles_y, int concurrency) {
    const std::int64_t rows = plan.y.outputs(0), over = rows % concurrency, even = rows / concurrency;
    if (over > ceil_div(rows - over, tiles_y)) return 0;  // more than the scratch holds
    // What a task computes, in rows of the product: the depthwise stage's multiplications wait more for what they load.
    const double depthwise = 1.6 * static_cast<double>(plan.x.taps * plan.y.taps) / static_cast<double>(plan.filters);
    const double by_rows = busiest_by_rows(plan, 1, tiles_y, concurrency) * static_cast<double>(rows) / concurrency * (1 + depthwise);
    const double product = static_cast<double>(over) * busiest_by_filters(packed, concurrency, concurrency) / concurrency;
    const double by_filters = static_cast<double>(even) + product + depthwise * static_cast<double>(even + over);
    return by_filters < 0.99 * by_rows ? over : 0;
}

}  // namespace

std::int64_t private_cache_bytes() {
    static const std::int64_t bytes = [] {
        const long found = sysconf(_SC_LEVEL2_CACHE_SIZE);
        return std::clamp<std::int64_t>(found > 0 ? found : 0, 256 << 10, 2 << 20);
    }();
    return bytes;
}

Tile Plan::tile_at(std::int64_t index) const {
    const std::int64_t even_rows = y.outputs(0) - rows_over;
    if (index >= tiles) return {0, 0, 0, tile_width, even_rows, rows_over, static_cast<int>(index - tiles), tasks};
    const Share columns(x.output, index % tiles_x, tiles_x);
    index /= tiles_x;
    const std::int64_t row = index % tiles_y;
    index /= tiles_y;
    const std::int64_t phase = index % y.phases(), image = index / y.phases();
    const Share rows(y.outputs(phase) - rows_over, row, tiles_y);
    return {image, phase, columns.first, columns.count, rows.first, rows.count};
}

Plan make_plan(const LayerConfig &config, const PackedWeights &packed, const BuiltTarget &target, const Shape &input, bool rows_contiguous,
               int concurrency) {
    Plan plan;
    const bool first = config.data_format == DataFormat::channels_first;
    plan.format = config.data_format;
    plan.type = target.type;
    plan.batch = input[0];
    plan.channels = input[first ? 1 : 3] * packed.spread;
    plan.multiplier = config.depth_multiplier / packed.spread;
    plan.filters = config.filters;
    plan.y = make_axis(input[first ? 2 : 1], config.kernel_size[0], config.strides[0], config.dilation_rate[0], config.padding);
    plan.x = make_axis(input[first ? 3 : 2], config.kernel_size[1], config.strides[1], config.dilation_rate[1], config.padding);
    // Rows of one phase of a dilation lie as without one, and share what they read.
    if (plan.y.dilation > 1 && plan.y.taps > 1) plan.y.step = plan.y.dilation;
    plan.epilogue = make_epilogue(config.activation, target);
    const bool half_tile = config.activation.kind == ActivationKind::glu && plan.epilogue.kind == EpilogueKind::rows;
    // The image is of another type than the sums: it is converted on its way into a strip, and the tile on its way to the output.
    const bool converts = config.dtype != target.type, converts_tiles = converts && plan.epilogue.kind != EpilogueKind::image;
    if (converts_tiles) {
        plan.stored = find_row(target, Stage::copied, target.type, config.dtype, {.lanes = target.lanes, .stride = 1});
        plan.stored_single = find_row(target, Stage::copied, target.type, config.dtype, {.lanes = 1, .stride = 1});
    }

    // The tile: whole rows, as many as the scratch has room for.
    const std::int64_t lanes = target.lanes;
    plan.transposed = first && worth_transposing(plan, target, rows_contiguous);
    const bool planes = plan.planes();
    const std::int64_t blocks = planes ? plan.channels : packed.blocks.count;
    const std::int64_t values_per_pixel =
        planes ? plan.channels * plan.multiplier : std::int64_t(packed.order.full + packed.order.tails) * lanes;
    const std::int64_t budget = scratch_budget(target);
    const std::int64_t rows = plan.y.outputs(0);
    plan.tile_width = plan.x.output;
    const bool needs_rows = plan.transposed || (first && plan.epilogue.kind == EpilogueKind::rows);
    if (!needs_rows && plan.x.output > 2 * std::max<std::int64_t>(budget / values_per_pixel, 4 * lanes)) {
        const std::int64_t wanted = std::max<std::int64_t>(budget / values_per_pixel, 4 * lanes);
        plan.tile_width = ceil_div(plan.x.output, ceil_div(plan.x.output, wanted));
    }
    plan.tiles_x = ceil_div(plan.x.output, plan.tile_width);
    plan.tile_height = std::clamp<std::int64_t>(budget / (plan.tile_width * values_per_pixel), 1, rows);
    // Fewer rows than the window has would read every row of the image that many times.
    if (plan.tile_height < plan.y.taps) {
        plan.tile_height =
            std::clamp<std::int64_t>(2 * budget / (plan.tile_width * values_per_pixel), plan.tile_height, std::min(rows, plan.y.taps));
    }
    constexpr std::int64_t least_pixels = 14;  // a block of the product
    if (plan.tile_width * plan.tile_height < least_pixels) {
        plan.tile_height = std::min(rows, ceil_div(least_pixels, plan.tile_width));
    }
    plan.tiles_y = ceil_div(rows, plan.tile_height);
    // A wake-up of another thread costs some microseconds.
    const double operations = 2.0 * static_cast<double>(plan.batch * plan.y.output * plan.x.output) *
                              static_cast<double>(plan.channels * plan.multiplier) *
                              static_cast<double>(plan.x.taps * plan.y.taps + plan.filters);
    constexpr double worth_waking = 1e6;
    const std::int64_t others = plan.batch * plan.y.phases() * plan.tiles_x;
    if (concurrency > 1 && operations >= worth_waking) {
        std::int64_t tiles_y = plan.tiles_y;
        if (others * tiles_y < 8 * concurrency) {
            tiles_y = std::clamp<std::int64_t>(round_up(others * tiles_y, concurrency) / others, 1, rows);
        }
        // Where rows can't be dealt out evenly, the tasks share each tile instead: every one takes some of its channels and then, once
        // all are there, some of its filters. That costs two waits a tile, which a busy machine makes long.
        constexpr double cost_of_waiting = 0.1;
        const bool halves = packed.blocks.lanes < target.lanes;  // which overlap in the scratch
        const int parts = static_cast<int>(std::min<std::int64_t>(concurrency, halves ? 1 : blocks));
        plan.shared =
            !planes && !half_tile && parts > 1 &&
            busiest_by_rows(plan, others, tiles_y, concurrency) > busiest_by_filters(packed, parts, concurrency) + cost_of_waiting;
        if (!plan.shared) plan.tiles_y = tiles_y;
        plan.tasks = plan.shared ? parts : static_cast<int>(std::clamp<std::int64_t>(others * tiles_y, 1, concurrency));
        const bool clamps = plan.epilogue.kind == EpilogueKind::clamp && !converts_tiles;
        if (!plan.shared && !planes && clamps && others == 1 && plan.tasks == concurrency) {
            plan.rows_over = worth_sharing(plan, packed, tiles_y, concurrency);
        }
        // A phase's rows come in few tiles: to deal them out as they are needed shares them more evenly.
        plan.tiles_of_tasks = !plan.shared && plan.y.phases() == 1;
    }
    plan.tile_height = ceil_div(rows - plan.rows_over, plan.tiles_y);
    plan.tiles = others * plan.tiles_y;
    plan.flat = plan.tiles_x == 1 && plan.y.step == 1 && (rows_contiguous || half_tile || converts_tiles || plan.transposed);

    // The depthwise stage.
    const int depthwise_lanes = planes ? target.lanes : packed.blocks.lanes;
    plan.depthwise = find_depthwise(plan, target, depthwise_lanes, false, false);
    plan.depthwise_strip = planes ? nullptr : find_depthwise(plan, target, depthwise_lanes, true, false);
    plan.depthwise_single = find_depthwise(plan, target, depthwise_lanes, !planes, true);
    const std::int64_t inside = outputs_inside(plan.x);
    const bool no_border = inside == plan.x.output && outputs_inside(plan.y) == plan.y.output;
    if (plan.transposed) {
        plan.turned = find_row(target, Stage::transposed, config.dtype, target.type, {.lanes = turned_lanes});
        plan.turned_single = find_row(target, Stage::transposed, config.dtype, target.type, {.lanes = 1});
        plan.turned_back = find_row(target, Stage::transposed, {.lanes = turned_lanes});
        plan.turned_back_single = find_row(target, Stage::transposed, {.lanes = 1});
    } else if (planes) {
        plan.direct = !converts && no_border && plan.x.stride == 1 && plan.tile_width >= lanes && plan.tiles_x == 1;
        const int stride = static_cast<int>(std::min<std::int64_t>(plan.x.stride, 3));
        plan.copied = find_row(target, Stage::copied, config.dtype, target.type, {.lanes = target.lanes, .stride = stride});
        plan.copied_narrow = find_row(target, Stage::copied, config.dtype, target.type, {.lanes = 4, .stride = stride});
    } else {
        plan.padded = find_row(target, Stage::padded, config.dtype, target.type,
                               {.lanes = depthwise_lanes, .narrow = packed.blocks.narrow, .spread = packed.spread});
        if (packed.blocks.narrow) {
            plan.padded_dense =
                find_row(target, Stage::padded, config.dtype, target.type, {.dense = true, .lanes = depthwise_lanes, .narrow = true});
        }
        const RowParams &p = plan.depthwise->params;
        const bool copied = converts || packed.blocks.narrow || packed.spread > 1;
        plan.bordered = !copied && p.border && plan.x.output / plan.tiles_x >= p.together;
        // Other long rows and strides read the inside where it lies: the copy would cost more than the test that it saves. The borders of a
        // dilation are wide, and a window of seven columns reads the strip so often that its copy pays.
        constexpr std::int64_t long_row = 48, wide_window = 7;
        const bool long_rows = plan.x.output >= long_row && plan.x.dilation == 1 && plan.x.taps < wide_window;
        plan.direct = !copied && !p.border && inside > 0 && (no_border || plan.x.stride > 1 || long_rows);
        // The function takes the channels of a few pixels a vector at a time; memory likes longer runs, which to read first pays where
        // there is much to compute with what is read: with fewer filters, or outputs, an Emerald Rapids takes 6 to 25 % longer so. From a
        // cache nearer than that it does not matter. What the system calls the size of the shared cache says little about a core's part of
        // it.
        constexpr std::int64_t far_bytes = 12 << 20, many_filters = 96;
        const std::int64_t image_bytes =
            (plan.x.input * plan.y.input * plan.channels + plan.x.output * plan.y.output * plan.filters) * bytes_of(config.dtype);
        const bool far = image_bytes > far_bytes && plan.filters >= many_filters && plan.x.stride == 1 && plan.y.stride == 1;
        plan.fetch_ahead = (plan.direct || plan.bordered) && (far || plan.y.step > 1);
    }
    const std::int64_t span_y = plan.y.span(plan.tile_height);
    std::int64_t strip = 0;
    if (plan.bordered) {
        // No tile needs one.
    } else if (planes) {
        const std::int64_t columns = std::max(plan.tile_width, lanes);
        const std::int64_t pitch = plan.x.stride == 1 ? plan.x.span(columns) : columns + (plan.x.taps - 1) / plan.x.stride;
        strip = pitch * plan.x.stride * span_y;
        // Wide and narrow tiles alike end with a vector, which may reach beyond the last row.
        plan.strip_values = lanes;
    } else {
        strip = plan.x.span(plan.tile_width) * span_y * depthwise_lanes;
    }
    // A few blocks at once, so that the copy reads whole lines of neighbours; more would leave the first-level cache too far behind: with
    // 12 << 10 values layers of 14×14 and 7×7 take 4 to 6 % longer on an Emerald Rapids.
    const std::int64_t strip_budget = planes ? 6 << 10 : 4 << 10;
    plan.strip_blocks = std::clamp<std::int64_t>(strip_budget / std::max<std::int64_t>(strip, 1), 1, blocks);
    const std::int64_t tile_pixels = plan.tile_width * plan.tile_height;
    if (plan.transposed) {
        // The product of a panel takes the strip's place.
        plan.strip_blocks = 1;
        for (const PanelRun &run : packed.runs) strip = std::max(strip, tile_pixels * run.width);
    }
    plan.strip_values += round_up(strip * plan.strip_blocks, 16);

    // The product.
    if (plan.flat) {
        plan.pixels[0] = tile_pixels;
        plan.pixels[1] = (rows - plan.rows_over) / plan.tiles_y * plan.tile_width;
        plan.pixels[2] = plan.rows_over * plan.tile_width;
    } else {
        plan.pixels[0] = plan.tile_width;
        plan.pixels[1] = plan.x.output / plan.tiles_x;
    }
    if (planes) group_filters(plan, target);
    const std::int64_t panel_bytes = plan.filters * plan.channels * plan.multiplier * bytes_of(target.type);
    const bool far = panel_bytes > private_cache_bytes();
    for (int size = 0; size < Plan::sizes; size++) {
        const std::int64_t pixels = plan.pixels[size];
        if (pixels == 0) continue;
        for (std::size_t run = 0; run < packed.runs.size() && !planes; run++) {
            plan.covers[run][size] = size > 0 && pixels == plan.pixels[0]
                                         ? plan.covers[run][0]
                                         : cover_pixels(target, packed.runs[run], pixels, plan.channels * plan.multiplier, far);
        }
        for (int i = 0; planes && plan.groups[i] > 0; i++) {
            plan.covers[i][size] = cover_pixel_vectors(target, plan.groups[i], pixels);
        }
    }
    if (planes) {
        // The last panel of vectors reads beyond the pixels, and a short row's vector writes beyond them.
        plan.pixel_pitch = round_up(tile_pixels + 3 * lanes, 16);
        if (plan.pixel_pitch % 1024 == 0) plan.pixel_pitch += 16;  // else every channel falls into the same sets of the cache
        plan.scratch_values = plan.pixel_pitch * values_per_pixel;
    } else {
        plan.scratch_values = tile_pixels * values_per_pixel;
    }
    if (half_tile || converts_tiles) plan.temporary_values = round_up(tile_pixels * plan.filters, 16);
    // glu cannot write where it reads.
    if (half_tile && converts_tiles) plan.temporary_values += round_up(tile_pixels * plan.filters / 2, 16);
    return plan;
}

}  // namespace sepconv
