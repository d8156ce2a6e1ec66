// How a GPU computes the fused layer: how it is cut, and the schedule of its stages.
#pragma once

#include <vector>

#include "Halide.h"
#include "schedules/along_axes.h"
#include "schedules/separable_conv2d.h"

namespace sepconv {

/// Partial results of a reduction along a row, where that is all that is reduced.
constexpr int gpu_row_lanes = 32;

/// The output is cut into tiles, one for a block of threads. A tile is complete even at the end of an image or of the filters: what lies
/// outside is computed and not stored.
struct GpuTiles {
    int filters, columns, rows;          ///< of a tile
    int thread_filters, thread_columns;  ///< of a thread, whose accumulators are in registers; it has one row
    int channels;                        ///< depthwise channels whose results are in shared memory at once
    int together;                        ///< neighbouring outputs of the depthwise stage in registers at once
    bool window_unrolled;
};

GpuTiles choose_gpu_tiles(const LayerSizes &sizes, bool channels_first, const Halide::Target &target);

/// The stages in whole tiles: each may be computed beside the image, beyond the last filter and beyond the last channel.
struct GpuStages {
    Halide::Func depthwise;  ///< sums over `taps`
    Halide::Func chunk;      ///< (q, x, y, n), in the format's order: these, zero beyond the last channel
    Halide::Func panel;      ///< (filter, q): the weights, zero beyond the last channel
    Halide::Func partial;    ///< the product over one chunk, which is its last dimension
    Halide::Func pointwise;  ///< with bias: the sum over all chunks
    Halide::Func stored;     ///< the tiles' last stage: the output, or where the activation works along axes its input
    Halide::RDom taps, steps, chunks;
};

/// @param dimensions  of the output: (filter, x, y, n).
void schedule_gpu(const GpuStages &stages, const std::vector<Halide::Var> &dimensions, Halide::Var q, const GpuTiles &tiles,
                  bool channels_first);

/// The threads of a block of schedule_gpu_flat.
constexpr int gpu_flat_threads = 128;

/// A thread for each element of a domain, which an update goes through in any order; one kernel.
/// @return the loop over the threads
Halide::RVar schedule_gpu_flat(Halide::Stage update, const Halide::RDom &elements);

/// An activation along axes that only the call names: of lines, each of which is what is reduced to one result.
struct GpuLines {
    AlongAxes stages;
    Halide::RDom elements;  ///< what the update of the output goes through: the dimensions within a line, and as the last the lines
};

/// A thread reduces a line.
void schedule_gpu_line_threads(Halide::Func output, int update, const GpuLines &lines);

/// A block reduces a line, gpu_row_lanes elements side by side along the first dimension.
void schedule_gpu_line_blocks(Halide::Func output, int update, const GpuLines &lines);

/// An activation along axes, its input computed before.
void schedule_gpu_along_axes(Halide::Func output, const AlongAxes &stages, const OutputAxes &axes);

}  // namespace sepconv
