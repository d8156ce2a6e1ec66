// What a family of CPUs has for a block of the product, and how sizes are cut to it.
#pragma once

#include <algorithm>

#include "Halide.h"

namespace sepconv {

struct Registers {
    int count;
    int spare;     // that are no accumulators and no weights
    int enough;    // accumulators that hide the latency of an addition
    bool by_lane;  // a multiply-add takes one lane of a register as a factor: a register for each pixel, no broadcast

    int most_rows(int vectors) const { return (count - vectors - spare) / (by_lane ? vectors + 1 : vectors); }
};

inline Registers registers(const Halide::Target &target) {
    using Halide::Target;
    if (target.has_feature(Target::AVX512_Skylake)) return {32, 1, 14, false};
    // 2×8, 3×6 and 4×4; 2×10 spills, and fewer than sixteen leave the four pipes of the large cores waiting.
    if (target.arch == Target::ARM && target.bits == 64) return {32, 4, 16, true};
    if (target.has_feature(Target::FMA)) return {16, 1, 12, false};
    // Products that are added apart overwrite a factor: SSE4.1, and WebAssembly, whose engines have its sixteen registers.
    return {16, 6, 8, false};
}

inline int ceil_div(int a, int b) { return (a + b - 1) / b; }

/// The largest vector that a dimension fills, so that its last one can move inwards and nothing is read beside the tensor.
inline int lanes_within(int extent, int lanes) {
    while (lanes > extent) lanes /= 2;
    return lanes;
}

/// On the stack a scratch's pages stay mapped; an allocation of its size may be returned to the system and faulted in again by every call.
constexpr int most_stack_bytes = 512 << 10;

/// Runs of pixels lie an odd number of cache lines apart: what is read of several at once then falls into sets of their own.
inline int pixel_pitch(int pixels, int pixel_bytes) {
    constexpr int line_bytes = 64;
    const int pixels_of_line = std::max(1, line_bytes / pixel_bytes), lines = ceil_div(pixels, pixels_of_line);
    return (lines + (lines + 1) % 2) * pixels_of_line;
}

/// Of the threads that were asked for, as many as have enough to do: waking another one costs several microseconds.
inline int worthwhile_threads(double operations, int asked) {
    constexpr double worth_waking = 5e5;
    return std::max(1, static_cast<int>(std::min<double>(asked, operations / worth_waking)));
}

}  // namespace sepconv
