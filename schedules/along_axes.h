// Schedules of the activations along axes, where these are the last stage of the fused layer.
#pragma once

#include <vector>

#include "Halide.h"
#include "generators/activated.h"

namespace sepconv {

/// The output of such an activation, innermost dimension first: its extents (0: open), and which dimensions are axes.
struct OutputAxes {
    std::vector<int> extents;
    std::vector<bool> along;

    /// Whether columns beside each other are computed in vectors that may go on beyond the output: along_axes then repeats elements.
    bool whole_vectors() const;
};

/// On a CPU, the input computed before; the last dimension, of images, is not shared.
/// @param threads  for which one loop is cut.
void schedule_along_axes(Halide::Func output, const AlongAxes &stages, const OutputAxes &axes, int threads, const Halide::Target &target);

}  // namespace sepconv
