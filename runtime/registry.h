// The registry of precompiled functions, generated from generators/pipelines.json: every row as built for every target.
#pragma once

#include <span>
#include <string_view>

#include "HalideRuntime.h"
#include "sepconv/config.h"

namespace sepconv {

enum class Stage { padded, depthwise, pointwise, activated, copied, transposed };

/// As the table of pipelines calls it.
const char *name(Stage stage);

// The functions' arguments are documented where they are declared, in generators/*_tile.cpp.
using PaddedFunction = int (*)(halide_buffer_t *image, int channels, int before_x, int inside_x, int before_y, int inside_y,
                               halide_buffer_t *strip);
using DepthwiseFunction = int (*)(halide_buffer_t *padded, halide_buffer_t *taps, int stride_x, int stride_y, int dilation_x,
                                  int dilation_y, int kernel_width, int kernel_height, halide_buffer_t *scratch);
using PointwiseFunction = int (*)(halide_buffer_t *scratch, halide_buffer_t *panel, halide_buffer_t *bias, int full, int tails,
                                  int tail_first, int tail_lanes, float low, float high, halide_buffer_t *output);
using ActivatedFunction = int (*)(halide_buffer_t *input, float a, float b, float c, halide_buffer_t *output);
using MovedFunction = int (*)(halide_buffer_t *from, halide_buffer_t *to);

/// Generator parameters of a row, in alphabetical order; those that its stage does not have keep these values.
struct RowParams {
    const char *activation = "";
    bool border = false;
    bool channels_first = false;
    bool dense = false;
    int dilation = 0;
    int kernel = 0;
    int lanes = 0;
    bool narrow = false;
    bool paired = false;
    int pixel_stride = 0;
    int rows = 0;
    bool rows_first = false;
    int spread = 1;
    int stride = 0;
    bool strip = false;
    int together = 0;
    int vectors = 0;
};

struct Row {
    const char *name;
    Stage stage;
    const char *target;
    const char *covers;
    Dtype image_type;  ///< of what a function reads that moves values; the others read `type`
    Dtype type;        ///< of what it writes, and of its sums
    RowParams params;
    // The one that `stage` says.
    PaddedFunction padded = nullptr;
    DepthwiseFunction depthwise = nullptr;
    PointwiseFunction pointwise = nullptr;
    ActivatedFunction activated = nullptr;
    MovedFunction moved = nullptr;  // copied, transposed
};

struct BuiltTarget {
    const char *name;
    const char *halide;
    int lanes;
    int sums;    ///< that must be open at once to keep the multipliers busy
    Dtype type;  ///< of the sums, and of what lies between the stages
};

/// Every row as built for every target, and the targets, best first.
std::span<const Row> all_rows();
std::span<const BuiltTarget> built_targets();
/// The targets of other machines. Their rows have no functions here.
std::span<const BuiltTarget> targets_elsewhere();
/// The rows of one target and stage, in the order of the table.
std::span<const Row> rows_of(const BuiltTarget &target, Stage stage);

/// The target of that name; null where none is built.
const BuiltTarget *find_target(std::string_view name);

/// Whether this CPU and operating system run a target, by Halide's own test.
bool runs_here(const BuiltTarget &target);

}  // namespace sepconv
