// Schedules of the fused layer, one function per machine family and data format, over its named stages.
#pragma once

#include <vector>

#include "Halide.h"

namespace sepconv {

/// The stages of the fused layer.
struct LayerStages {
    Halide::Func padded, depthwise, pointwise;
    Halide::RDom taps, reduction;
};

/// What is known ahead of time of the output and the weights; 0: open.
struct LayerSizes {
    int width, height, channels, filters, multiplier, window;
};

/// @param dimensions  of the output, innermost first: (filter, x, y, n).
void schedule_separable_conv2d(Halide::Func output, const LayerStages &stages, const std::vector<Halide::Var> &dimensions, Halide::Var q,
                               const LayerSizes &sizes, const Halide::Target &target);

/// @param dimensions  of the output, innermost first: (x, y, filter, n).
void schedule_separable_conv2d_channels_first(Halide::Func output, const LayerStages &stages, const std::vector<Halide::Var> &dimensions,
                                              Halide::Var q, const LayerSizes &sizes, const Halide::Target &target);

}  // namespace sepconv
