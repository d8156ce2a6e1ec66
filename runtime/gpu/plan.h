// What a GPU runs for one layer and one input shape: which functions, and how the reduction is cut. The choice by cost is written down in
// plan.cpp and nowhere else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "gpu/rows.h"
#include "sepconv/config.h"

namespace sepconv::gpu {

/// Values that a function moves at once where it can: gpu_lanes of schedules/gpu_layer.h.
constexpr int lanes = 4;

/// What the choice depends on beside the layer and the shape.
struct Machine {
    int multiprocessors = 0;
    int registers = 65536;                   ///< of a multiprocessor
    std::int64_t shared_bytes = 100 * 1024;  ///< of a multiprocessor; the least of those with compute capability 8.0 and above
};

/// The distances of the caller's tensors.
struct Access {
    bool vectors_in = true, vectors_out = true;  ///< their channels can be read and written by vectors of four
    bool operator==(const Access &) const = default;
};

/// What the choice is held to.
struct Only {
    std::string row;  ///< of gpu_layer; any where it is empty
    int slices = 0;   ///< any where it is 0
};

struct Axis {
    std::int64_t input = 0, output = 0, kernel = 0, stride = 0, dilation = 0, before = 0;
};

struct Plan {
    DataFormat format = DataFormat::channels_last;
    std::int64_t batch = 0, channels = 0, multiplier = 0, filters = 0;  ///< filters of the product; glu may halve the output's
    Axis x, y;

    const Row *layer = nullptr;
    int chunks = 0;  ///< of each slice
    int slices = 1;  ///< of the reduction, whose sums are added up in memory of the device where there are several
    float low = 0, high = 0;

    /// Where the fused kernel leaves partial sums, or the activation is more than a clamp: adds them, the bias, and applies it.
    const Row *finish = nullptr;
    /// softmax, log_softmax, sparsemax, glu: after `finish`.
    const Row *axes = nullptr;

    std::int64_t depth() const { return channels * multiplier; }
    /// The product goes into float32 of its own first.
    bool is_partial() const { return finish != nullptr; }

    // Of the fused kernel.
    std::int64_t blocks = 0;
    std::int64_t shared_bytes = 0;
    int blocks_at_once = 0;           ///< of a multiprocessor
    double recomputed = 1;            ///< how often each depthwise result is computed
    std::int64_t bytes_moved = 0;     ///< by all blocks together, from whatever level of the memory, and the output
    std::int64_t bytes_uncached = 0;  ///< the same where only the weights stay in the second level of the cache, which has room for them
    std::int64_t bytes_least = 0;     ///< input, weights and output once
    double cycles = 0;                ///< by the cost function
};

/// That the plans let a block have.
std::int64_t most_shared_bytes(Api api);

/// What the packed panel and taps are padded to, so that any row of the table may read whole tiles and chunks of them.
std::int64_t padded_filters(std::int64_t filters);
std::int64_t padded_depth(std::int64_t depth);

/// @throws ShapeError; TargetError where no function covers the layer
Plan make_plan(const LayerConfig &config, std::int64_t channels, Api api, const Machine &machine, const Shape &input, const Access &access,
               const Only &only = {});

/// A device's, or that of an H100 where there is none to ask.
Machine machine_of(const Device *device);

}  // namespace sepconv::gpu
