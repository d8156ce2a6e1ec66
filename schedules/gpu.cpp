// The schedule for GPUs (CUDA, OpenCL, Vulkan): one kernel in which a block of threads goes through the depthwise channels in chunks.
// It leaves a chunk of its tile's depthwise results and the chunk's weights in shared memory, and multiplies the two from there into
// registers. Every size may be open.
//
// The two data formats differ in which dimension neighbouring threads take: filters in channels_last, columns in channels_first, so that
// they read and write neighbouring floats. A thread has a vector along that dimension, which it reads from shared memory in one
// instruction, and a run along the other.
#include "schedules/gpu.h"

#include <algorithm>

using namespace Halide;

namespace sepconv {

namespace {

constexpr int lanes = 4;  // 16 bytes, the most that a thread reads at once
// What a thread keeps in registers fits the 64 that Halide's CUDA runtime allows it: the accumulators and factors of the product, and what
// stays the same from chunk to chunk, which is more where distances are not known.
constexpr int most_in_run = 5, most_in_open_run = 3;
constexpr int most_together = 2, most_open_together = 1;  // outputs of the depthwise stage whose border is known in registers
constexpr int threads = 128;        // what every Vulkan device runs, and enough where several blocks share a multiprocessor
constexpr int most_filters = 64;    // the depthwise stage is computed again for every so many filters
constexpr int most_channels = 32;   // more would only take shared memory from other blocks
constexpr int most_steps = 16;      // of the product unrolled: every turn of the loop costs copies between registers
constexpr int unrolled_taps = 9;    // a larger window's rows stay a loop
constexpr int guessed_extent = 64;  // of an open size

constexpr int lanes_unrolled = 8;     // of those that one thread adds up: more would be read side by side, at a compile time that grows
constexpr int gpu_line_threads = 64;  // few, as there may be few lines

int divide(int a, int b) { return (a + b - 1) / b; }
int round_up(int a, int b) { return divide(a, b) * b; }

// What every device of these kinds has.
int shared_floats(const Target &target) { return (target.has_feature(Target::Vulkan) ? 16 : 32) * 1024 / 4; }

// The run that divides an extent with the least waste; a thread's own costs count as one more.
int choose_run(int extent, int most) {
    int best = 1;
    for (int run = 1; run <= most; run++) {
        if (divide(extent, run) * (run + 1) <= divide(extent, best) * (best + 1)) best = run;
    }
    return best;
}

// Half of the channels or all: choose_gpu_tiles makes them even.
int steps_unrolled(int channels) { return channels > most_steps ? channels / 2 : channels; }

// The most threads among which so much divides evenly.
int dividing(int extent, int most) {
    int threads_taken = std::min(extent, most);
    while (extent % threads_taken != 0) threads_taken--;
    return threads_taken;
}

// The same number of equal parts as parts of at most `most` need.
int even_part(int extent, int most) { return divide(extent, divide(extent, most)); }

}  // namespace

GpuTiles choose_gpu_tiles(const LayerSizes &sizes, bool channels_first, const Target &target) {
    const bool open = sizes.width == 0 || sizes.height == 0 || sizes.channels == 0 || sizes.filters == 0;
    const int most_run = open ? most_in_open_run : most_in_run;
    auto known = [](int size) { return size > 0 ? size : guessed_extent; };
    const int width = known(sizes.width), height = known(sizes.height), filters = known(sizes.filters);
    const int budget = shared_floats(target);
    GpuTiles tiles = {};
    tiles.thread_filters = channels_first ? choose_run(filters, most_run) : lanes;
    tiles.thread_columns = channels_first ? lanes : choose_run(width, most_run);
    const int runs = divide(width, tiles.thread_columns);

    // A tile's sums take half of the shared memory at most, and leave room for some channels.
    tiles.filters = even_part(divide(filters, tiles.thread_filters), most_filters / tiles.thread_filters) * tiles.thread_filters;
    const int pixel_threads =
        std::max(1, std::min(threads * tiles.thread_filters / tiles.filters, budget / 2 / (tiles.filters + lanes) / tiles.thread_columns));
    // As square as possible, for fewer inputs, but before all with few pixels outside.
    double least = 0;
    for (int x = 1; x <= std::min(runs, pixel_threads); x++) {
        const int y = std::min(height, pixel_threads / x);
        const int columns = x * tiles.thread_columns;
        const double inputs = (columns + 2.0) * (y + 2.0);
        const double cost = static_cast<double>(divide(runs, x)) * divide(height, y) * (columns * y * 4 + inputs);
        if (least == 0 || cost < least) least = cost, tiles.columns = columns, tiles.rows = y;
    }

    const int pixels = tiles.columns * tiles.rows;
    const int room = (budget - pixels * (tiles.filters + lanes)) / (pixels + tiles.filters);
    // Vectors of channels, and beyond most_steps two equal halves of them.
    const int multiple = room > most_steps ? 2 * lanes : lanes;
    const int most = std::min(room / multiple * multiple, most_channels);
    const int channels = sizes.channels > 0 ? sizes.channels * sizes.multiplier : most;
    tiles.channels = round_up(even_part(channels, most), lanes);
    if (tiles.channels > most_steps) tiles.channels = round_up(tiles.channels, 2 * lanes);
    tiles.together = open ? most_open_together : most_together;
    tiles.window_unrolled = !open && sizes.window <= unrolled_taps;
    return tiles;
}

void schedule_gpu(const GpuStages &stages, const std::vector<Var> &dimensions, Var q, const GpuTiles &tiles, bool channels_first) {
    const Var filter = dimensions[0], x = dimensions[1], y = dimensions[2], n = dimensions[3];
    const TailStrategy guard = TailStrategy::GuardWithIf;
    const Var lane = channels_first ? x : filter, run = channels_first ? filter : x;
    const int lane_extent = channels_first ? tiles.columns : tiles.filters, run_extent = channels_first ? tiles.filters : tiles.columns;
    const int in_run = channels_first ? tiles.thread_filters : tiles.thread_columns;
    const int lane_threads = lane_extent / lanes, run_threads = run_extent / in_run;
    Var block("block"), fo("fo"), xo("xo"), yo("yo"), in_lane("in_lane"), in_run_of_threads("in_run_of_threads"), i("i"), j("j");
    Var lane_thread("lane_thread"), run_thread("run_thread"), row_thread("row_thread");

    // Neighbouring threads store neighbouring floats.
    Func stored = stages.stored, pointwise = stages.pointwise, partial = stages.partial, chunk = stages.chunk, panel = stages.panel;
    const Var lane_outer = channels_first ? xo : fo, run_outer = channels_first ? fo : xo;
    stored.split(lane, lane_outer, in_lane, lane_extent, guard)
        .split(in_lane, i, lane_thread, lane_threads)
        .split(run, run_outer, in_run_of_threads, run_extent, guard)
        .split(in_run_of_threads, run_thread, j, in_run)
        .split(y, yo, row_thread, tiles.rows, guard)
        .reorder(i, j, lane_thread, run_thread, row_thread, fo, xo, yo, n)
        .fuse(fo, xo, block)
        .fuse(block, yo, block)
        .fuse(block, n, block)
        .gpu_blocks(block)
        .gpu_threads(lane_thread, run_thread, row_thread);

    auto whole = [&](Func func) {
        func.bound_extent(x, tiles.columns).bound_extent(y, tiles.rows).bound_extent(n, 1).never_partition_all();
        return func;
    };
    whole(pointwise).compute_at(stored, block).store_in(MemoryType::GPUShared).bound_extent(filter, tiles.filters);
    auto in_registers = [&](Stage stage) {
        stage.split(lane, lane_thread, i, lanes).split(run, run_thread, j, in_run).vectorize(i).unroll(j);
    };
    in_registers(pointwise);
    pointwise.reorder(i, j, lane_thread, run_thread, y, n).gpu_threads(lane_thread, run_thread, y);
    in_registers(pointwise.update());
    pointwise.update().reorder({i, j, lane_thread, run_thread, y, n, stages.chunks.x}).gpu_threads(lane_thread, run_thread, y);

    const RVar steps = stages.steps.x, qo("qo"), qi("qi");
    partial.compute_at(pointwise, lane_thread).store_in(MemoryType::Register).vectorize(lane).unroll(run).never_partition_all();
    partial.update()
        .split(steps, qo, qi, steps_unrolled(tiles.channels))
        .reorder({lane, run, qi, qo})
        .vectorize(lane)
        .unroll(run)
        .unroll(qi);

    // channels_last: a thread has a channel's neighbouring columns, which share inputs; channels_first: neighbouring threads do.
    Var part("part"), column("column"), q_outer("q_outer"), q_thread("q_thread"), x_thread("x_thread"), in_thread("in_thread");
    whole(chunk).compute_at(pointwise, stages.chunks.x).store_in(MemoryType::GPUShared).bound_extent(q, tiles.channels);
    const int q_threads = dividing(tiles.channels, channels_first ? run_threads : lane_threads);
    if (channels_first) {
        chunk.split(x, in_thread, x_thread, lane_threads);
    } else {
        chunk.align_storage(q, tiles.channels + lanes).split(x, x_thread, in_thread, in_run);
    }
    const int together = even_part(channels_first ? lanes : in_run, tiles.together);
    chunk.split(in_thread, part, column, together, TailStrategy::ShiftInwards)
        .split(q, q_outer, q_thread, q_threads)
        .reorder({column, part, q_outer, channels_first ? x_thread : q_thread, channels_first ? q_thread : x_thread, y, n})
        .gpu_threads(channels_first ? x_thread : q_thread, channels_first ? q_thread : x_thread, y)
        .unroll(column);
    Func depthwise = stages.depthwise;
    depthwise.compute_at(chunk, part).store_in(MemoryType::Register).unroll(x).never_partition_all();
    depthwise.update().reorder(x, stages.taps.x, stages.taps.y).unroll(x);
    if (tiles.window_unrolled) depthwise.update().unroll(stages.taps.x).unroll(stages.taps.y);

    Var filter_outer("filter_outer"), filter_thread("filter_thread"), step_outer("step_outer"), step("step"), step_x("step_x");
    Var step_y("step_y");
    const int row_steps = dividing(tiles.channels, tiles.rows);
    panel.compute_at(pointwise, stages.chunks.x)
        .store_in(MemoryType::GPUShared)
        .bound_extent(filter, tiles.filters)
        .bound_extent(q, tiles.channels)
        .split(filter, filter_outer, filter_thread, dividing(tiles.filters, lane_threads))
        .split(q, step, step_y, row_steps)
        .split(step, step_outer, step_x, dividing(tiles.channels / row_steps, run_threads))
        .reorder(filter_outer, step_outer, filter_thread, step_x, step_y)
        .gpu_threads(filter_thread, step_x, step_y)
        .never_partition_all();
}

RVar schedule_gpu_flat(Stage update, const RDom &elements) {
    RVar block("block"), thread("thread");
    // Each element is stored once.
    update.allow_race_conditions()
        .split(elements.x, block, thread, gpu_flat_threads, TailStrategy::GuardWithIf)
        .gpu_blocks(block)
        .gpu_threads(thread)
        .never_partition_all();
    return thread;
}

void schedule_gpu_line_threads(Func output, int update, const GpuLines &lines) {
    const AlongAxes &stages = lines.stages;
    RVar block("block"), thread("thread");
    // Each element is stored once.
    output.update(update)
        .allow_race_conditions()
        .split(lines.elements[lines.elements.dimensions() - 1], block, thread, gpu_line_threads, TailStrategy::GuardWithIf)
        .gpu_blocks(block)
        .gpu_threads(thread)
        .never_partition_all();
    std::vector<Func> steps = {stages.largest.whole, stages.total.whole, stages.search};
    steps.insert(steps.end(), stages.support.begin(), stages.support.end());
    for (Func step : steps) {
        if (step.defined()) step.compute_at(output, thread).store_in(MemoryType::Register).bound_extent(step.args()[0], 1);
    }
    // Only steps that are written out have their results in registers.
    if (stages.search.defined()) Func(stages.search).unroll(stages.search.args().back()).update().unroll(stages.steps.y);
}

void schedule_gpu_line_blocks(Func output, int update, const GpuLines &lines) {
    const RVar line = lines.elements[lines.elements.dimensions() - 1];
    RVar inner("inner"), lane("lane");
    output.update(update)
        .allow_race_conditions()
        .split(lines.elements[0], inner, lane, gpu_row_lanes, TailStrategy::GuardWithIf)
        .gpu_blocks(line)
        .gpu_threads(lane)
        .never_partition_all();
    auto one_line = [](Func func, int first) {
        for (std::size_t i = first; i < func.args().size(); i++) func.bound_extent(func.args()[i], 1);
        return func;
    };
    // What several threads compute or read goes into shared memory when it is complete.
    auto shared = [&](Func func, int first, const Func &reader, const LoopLevel &level) {
        const Func copy = func.in(reader);
        const Var thread = copy.args()[0];
        one_line(copy, first).compute_at(level).store_in(MemoryType::GPUShared).gpu_threads(thread);
        one_line(func, 0).compute_at(copy, thread).store_in(MemoryType::Register);
    };
    for (const AxesReduction &reduction : {lines.stages.largest, lines.stages.total}) {
        Func row = reduction.row, whole = reduction.whole;
        one_line(whole, 0).compute_at(output, line).store_in(MemoryType::GPUShared);
        // A row of the line at a time.
        const LoopLevel turn(whole, reduction.axes.x);
        shared(reduction.partial, 1, row, turn);
        shared(row, 0, whole, turn);
        row.update().unroll(reduction.lanes.x, lanes_unrolled);
    }
}

namespace {

// A thread for each point of some dimensions, those of a block beside each other; the others are in a loop of its own.
// @return the loop over the threads
Var one_thread_each(Stage stage, const std::vector<Var> &dimensions) {
    constexpr int beside = 32;  // a warp's
    Var block("block"), thread("thread");
    if (dimensions.empty()) {
        stage.gpu_single_thread();
        return thread;
    }
    // Dimensions that are fused Halide takes apart too late: it does not see that a thread needs one result of the stages before.
    stage.split(dimensions[0], block, thread, beside, TailStrategy::GuardWithIf).gpu_blocks(block).gpu_threads(thread);
    for (std::size_t i = 1; i < dimensions.size(); i++) stage.gpu_blocks(dimensions[i]);
    return thread;
}

// A block of threads for each row of the output, whose lanes reduce it side by side.
void schedule_gpu_rows(Func output, const AlongAxes &stages) {
    const std::vector<Var> dimensions = output.args();
    const Var row = dimensions[1];
    Var inner("inner"), thread("thread");
    output.split(dimensions[0], inner, thread, gpu_row_lanes, TailStrategy::GuardWithIf)
        .reorder(inner, thread, row, dimensions[2], dimensions[3])
        .gpu_blocks(row, dimensions[2], dimensions[3])
        .gpu_threads(thread);
    if (!stages.last.defined() || stages.largest.whole.defined()) return;
    auto at_row = [&](Func func) {
        func.compute_at(output, row).store_in(MemoryType::GPUShared);
        for (std::size_t i = 1; i < dimensions.size(); i++) func.bound_extent(dimensions[i], 1);
        return func;
    };
    auto beside = [&](Func func) {
        at_row(func).gpu_threads(func.args()[0]);
        func.update().gpu_threads(func.args()[0]);
    };
    beside(stages.last);
    for (const AxesReduction &reduction : {stages.largest, stages.total}) {
        beside(reduction.partial);
        at_row(reduction.row);
    }
}

// Rows and other axes: a thread reduces a row, and in the next kernel one the rows' results.
void schedule_gpu_several_axes(const AlongAxes &stages) {
    auto kernels = [](Func func) {
        func.compute_root();
        one_thread_each(func, func.args());
        return one_thread_each(func.update(), func.args());
    };
    for (const AxesReduction &reduction : {stages.largest, stages.total}) {
        kernels(reduction.whole);
        const Var thread = kernels(reduction.row);
        Func partial = reduction.partial;
        partial.compute_at(reduction.row, thread).store_in(MemoryType::Register);
        for (const Var &dimension : partial.args()) partial.bound_extent(dimension, 1);
    }
}

}  // namespace

void schedule_gpu_along_axes(Func output, const AlongAxes &stages, const OutputAxes &axes) {
    if (!stages.column.defined()) {
        schedule_gpu_rows(output, stages);
        if (stages.largest.whole.defined()) schedule_gpu_several_axes(stages);
        return;
    }
    // A thread for each column.
    const std::vector<Var> dimensions = output.args();
    std::vector<VarOrRVar> order;
    std::vector<Var> kept;
    for (std::size_t i = 0; i < dimensions.size(); i++) {
        if (axes.along[i]) {
            order.emplace_back(dimensions[i]);
        } else {
            kept.push_back(dimensions[i]);
        }
    }
    order.insert(order.end(), kept.begin(), kept.end());
    output.reorder(order);
    const Var thread = one_thread_each(output, kept);
    std::vector<Func> steps = {stages.largest.whole, stages.total.whole, stages.search};
    steps.insert(steps.end(), stages.support.begin(), stages.support.end());
    for (Func step : steps) {
        if (!step.defined()) continue;
        step.compute_at(output, thread).store_in(MemoryType::Register);
        for (const Var &dimension : kept) step.bound_extent(dimension, 1);
    }
    // Only steps that are written out have their results in registers.
    if (stages.search.defined()) Func(stages.search).unroll(stages.search.args().back()).update().unroll(stages.steps.y);
}

}  // namespace sepconv
