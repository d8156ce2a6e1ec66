// How a GPU computes the layer with every size open: the cut of the output into blocks of threads, and the schedule of the stages.
#pragma once

#include "Halide.h"

namespace sepconv {

/// What a block of threads computes, and how its threads share it.
struct GpuTile {
    int columns, rows, filters;  ///< of the output
    int chunk;                   ///< depthwise channels in shared memory at once, or where all of them are, of which these are a multiple
    int thread_pixels, thread_filters;  ///< whose sums a thread has in registers

    int pixels() const { return columns * rows; }
    int pixel_threads() const { return pixels() / thread_pixels; }
    int filter_threads() const { return filters / thread_filters; }
    int threads() const { return pixel_threads() * filter_threads(); }
};

/// What a thread reads from shared memory in one instruction, and from the image where its channels lie together.
constexpr int gpu_lanes = 4;

struct GpuLayerStages {
    Halide::Func sum;        ///< (lane, group of channels, x, y, block): of the window, at a pixel of the block's tile
    Halide::Func depthwise;  ///< (c, x, y, block): the same, in shared memory
    Halide::Func pixels;     ///< a thread's values of `depthwise`, (c, pixel, …)
    Halide::Func panel;      ///< (filter, q, block), in shared memory or none
    Halide::Func weights;    ///< a thread's values of the panel, (lane, vector, …)
    Halide::Func product;    ///< (lane, vector, pixel, …): a thread's sums
    Halide::Func output;     ///< an update over `points`
    Halide::RDom taps;
    Halide::RDom threads;  ///< (inner, outer) of the first update of `product`, where a chunk is in shared memory
    Halide::RDom steps;    ///< over the depthwise channels, then (inner, outer)
    /// (lane, vector, pixel, inner thread, outer thread, turn of the filters, block)
    Halide::RDom points;
    Halide::Expr depth;  ///< depthwise channels in shared memory
};

struct GpuLayerForm {
    bool channels_first;
    bool whole;            ///< all depthwise channels are in shared memory at once
    bool vectors;          ///< the image is read by gpu_lanes channels
    bool vector_stores;    ///< and the output so written
    bool reuse;            ///< neighbouring outputs share what they read
    bool window_unrolled;  ///< its size is known
};

void schedule_gpu_layer(const GpuLayerStages &stages, const GpuTile &tile, const GpuLayerForm &form);

}  // namespace sepconv
