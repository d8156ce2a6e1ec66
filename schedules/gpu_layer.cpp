// The schedule of the layer on a GPU with every size open, in two forms: all of a tile's depthwise results in shared memory, or a chunk of
// them after the other beside the chunk's weights.
#include "schedules/gpu_layer.h"

#include <vector>

using namespace Halide;

namespace sepconv {

namespace {

constexpr int steps_unrolled = gpu_lanes;  // of the reduction: as many as a thread reads of a pixel at once
// Neighbouring outputs of the depthwise stage in registers at once, where they share inputs. The last ones of a row of 7 are computed
// twice: 7 at once take 60 registers more, and give half of a block's threads nothing to do.
constexpr int shared_outputs = 4;

}  // namespace

void schedule_gpu_layer(const GpuLayerStages &stages, const GpuTile &tile, const GpuLayerForm &form) {
    const TailStrategy guard = TailStrategy::GuardWithIf, even = TailStrategy::RoundUp;
    Func sum = stages.sum, depthwise = stages.depthwise, pixels = stages.pixels, panel = stages.panel, weights = stages.weights;
    Func product = stages.product, output = stages.output;
    const RDom at = stages.points;
    const int vectors = tile.thread_filters / gpu_lanes;

    const RVar lane(at[0].name()), vector(at[1].name()), pixel(at[2].name()), inner(at[3].name()), outer(at[4].name());
    const RVar block_filters(at[5].name()), block(at[6].name());
    output.never_partition_all();
    Stage stored = output.update();
    stored.allow_race_conditions()
        .reorder({lane, vector, pixel, inner, outer, block_filters, block})
        .unroll(vector)
        .unroll(pixel)
        .gpu_threads(inner, outer)
        .gpu_blocks(block);
    if (form.vector_stores) {
        stored.vectorize(lane);
    } else {
        stored.unroll(lane);
    }

    const std::vector<Var> of_product = product.args();
    const Var p_lane = of_product[0], p_vector = of_product[1], p_pixel = of_product[2];
    product.store_in(MemoryType::Register)
        .bound_extent(p_lane, gpu_lanes)
        .bound_extent(p_vector, vectors)
        .bound_extent(p_pixel, tile.thread_pixels);
    for (std::size_t i = 3; i < of_product.size(); i++) product.bound_extent(of_product[i], 1);
    product.never_partition_all();
    const auto in_registers = [&](Stage stage) { stage.vectorize(p_lane).unroll(p_vector).unroll(p_pixel); };
    RVar chunk("chunk"), in_chunk("in_chunk"), steps("steps"), step("step");
    if (form.whole) {
        product.compute_at(output, inner);
        in_registers(product);
        product.update()
            .split(stages.steps.x, steps, step, steps_unrolled, guard)
            .reorder({p_lane, p_vector, p_pixel, step, steps})
            .unroll(step);
        in_registers(product.update());
    } else {
        product.compute_at(output, block_filters);
        const auto by_threads = [&](Stage stage, const RVar &first, const RVar &second, std::vector<VarOrRVar> within,
                                    std::vector<VarOrRVar> around) {
            std::vector<VarOrRVar> order = {p_lane, p_vector, p_pixel};
            order.insert(order.end(), within.begin(), within.end());
            order.insert(order.end(), {first, second});
            order.insert(order.end(), around.begin(), around.end());
            stage.allow_race_conditions().reorder(order).gpu_threads(first, second);
            in_registers(stage);
        };
        by_threads(product.update(0), stages.threads.x, stages.threads.y, {}, {});
        Stage sums = product.update(1);
        sums.split(stages.steps.x, chunk, in_chunk, tile.chunk, guard).split(in_chunk, steps, step, steps_unrolled, guard);
        by_threads(sums, stages.steps.y, stages.steps.z, {step, steps}, {chunk});
        sums.unroll(step);
    }

    const std::vector<Var> of_pixels = pixels.args(), of_weights = weights.args();
    for (std::size_t i = 2; i < of_pixels.size(); i++) pixels.bound_extent(of_pixels[i], 1);
    for (std::size_t i = 2; i < of_weights.size(); i++) weights.bound_extent(of_weights[i], 1);
    pixels.compute_at(product, steps)
        .store_in(MemoryType::Register)
        .bound_extent(of_pixels[0], steps_unrolled)
        .bound_extent(of_pixels[1], tile.thread_pixels)
        .vectorize(of_pixels[0])
        .unroll(of_pixels[1]);
    weights.compute_at(product, step)
        .store_in(MemoryType::Register)
        .bound_extent(of_weights[0], gpu_lanes)
        .bound_extent(of_weights[1], vectors)
        .vectorize(of_weights[0])
        .unroll(of_weights[1]);

    // What the whole block computes for the others: as many at a time as it has threads, in the order in which they lie in memory.
    const int inner_threads = form.channels_first ? tile.pixel_threads() : tile.filter_threads();
    Var turn("turn"), thread("thread"), first("first"), second("second");
    const auto by_all = [&](Func func, int count, std::vector<VarOrRVar> within) {
        func.split(thread, turn, thread, tile.threads(), count > 0 && count % tile.threads() == 0 ? even : guard)
            .split(thread, second, first, inner_threads, even);
        within.insert(within.end(), {turn, first, second});
        func.reorder(within).gpu_threads(first, second).never_partition_all();
    };
    const Var sum_lane = sum.args()[0], c = depthwise.args()[0], x = depthwise.args()[1], y = depthwise.args()[2];
    Var c_outer("c_outer"), c_lane("c_lane"), x_outer("x_outer"), x_inner("x_inner");
    const int together = form.reuse ? shared_outputs : 1, runs = (tile.columns + together - 1) / together;
    depthwise.store_in(MemoryType::GPUShared)
        .bound_extent(c, stages.depth)
        .bound_extent(x, tile.columns)
        .bound_extent(y, tile.rows)
        .bound_extent(depthwise.args()[3], 1)
        // Pixels that neighbouring threads read lie in different banks.
        .align_storage(c, gpu_lanes);
    if (form.whole) {
        depthwise.compute_at(output, block);
    } else {
        depthwise.align_storage(c, tile.chunk + gpu_lanes).compute_at(product, chunk);
    }
    const int outputs = form.whole ? 0 : tile.chunk * runs * tile.rows / (form.vectors ? gpu_lanes : 1);
    if (form.vectors) {
        depthwise.split(c, c_outer, c_lane, gpu_lanes, even).split(x, x_outer, x_inner, together, TailStrategy::ShiftInwards);
        if (form.channels_first) {
            depthwise.fuse(x_outer, y, thread).fuse(thread, c_outer, thread);
        } else {
            depthwise.fuse(c_outer, x_outer, thread).fuse(thread, y, thread);
        }
        by_all(depthwise, outputs, {c_lane, x_inner});
        depthwise.vectorize(c_lane).unroll(x_inner);
        sum.compute_at(depthwise, turn).vectorize(sum_lane).unroll(x);
    } else {
        if (form.channels_first) {
            depthwise.fuse(x, y, thread).fuse(thread, c, thread);
        } else {
            depthwise.fuse(c, x, thread).fuse(thread, y, thread);
        }
        by_all(depthwise, outputs, {});
        sum.compute_at(depthwise, turn);
    }
    sum.store_in(MemoryType::Register).never_partition_all();
    sum.bound_extent(sum_lane, form.vectors ? gpu_lanes : 1).bound_extent(sum.args()[1], 1);
    sum.update().reorder({sum_lane, sum.args()[1], x, stages.taps.x, stages.taps.y});
    if (form.vectors) sum.update().vectorize(sum_lane).unroll(x);
    if (form.window_unrolled) sum.update().unroll(stages.taps.x);
    if (form.window_unrolled && !form.reuse) sum.update().unroll(stages.taps.y);

    if (form.whole) return;
    const Var filter = panel.args()[0], q = panel.args()[1];
    Var f_outer("f_outer"), f_lane("f_lane");
    panel.compute_at(product, chunk)
        .store_in(MemoryType::GPUShared)
        .bound_extent(filter, tile.filters)
        .bound_extent(q, tile.chunk)
        .bound_extent(panel.args()[2], 1)
        .split(filter, f_outer, f_lane, gpu_lanes, even)
        .fuse(f_outer, q, thread);
    by_all(panel, tile.filters / gpu_lanes * tile.chunk, {f_lane});
    panel.vectorize(f_lane).unroll(turn);
}

}  // namespace sepconv
