// The functions of the table that are compiled for GPUs, in the order of generators/pipelines.json.
#pragma once

#include <span>

#include "HalideRuntime.h"
#include "gpu/calls.h"
#include "sepconv/config.h"

namespace sepconv::gpu {

enum class Stage { gpu_layer, gpu_finish, gpu_axes };
enum class Api { cuda, opencl, vulkan };
constexpr Api all_apis[] = {Api::cuda, Api::opencl, Api::vulkan};

/// As the table calls them.
const char *name(Stage stage);
const char *name(Api api);

// Their arguments are documented where they are declared, in generators/gpu_*.cpp; the first is a GpuCall.
using LayerFunction = int (*)(void *call, halide_buffer_t *input, halide_buffer_t *taps, halide_buffer_t *panel, halide_buffer_t *bias,
                              int multiplier, int stride_x, int stride_y, int dilation_x, int dilation_y, int before_x, int before_y,
                              int chunks, int slices, int padded_channels, int panel_filters, int input_x, int input_y, int input_n,
                              int output_x, int output_y, int output_n, float low, float high, halide_buffer_t *output);
using FinishFunction = int (*)(void *call, halide_buffer_t *partial, halide_buffer_t *bias, float a, float b, float c,
                               halide_buffer_t *output);
using AxesFunction = int (*)(void *call, halide_buffer_t *input, int along0, int along1, int along2, int along3, halide_buffer_t *output);

/// Generator parameters of a row, in alphabetical order; those that its stage does not have keep these values.
struct RowParams {
    const char *activation = "";
    bool channels_first = false;
    int chunk = 0;
    int columns = 0;
    int dilation = 0;
    int filters = 0;
    int kernel = 0;
    int registers = 0;
    int rows = 0;
    int stride = 0;
    int thread_filters = 0;
    int thread_pixels = 0;
    bool vectors = false;
    bool whole = false;

    int pixels() const { return columns * rows; }
    int threads() const { return pixels() / thread_pixels * (filters / thread_filters); }
};

struct Row {
    const char *name;
    Stage stage;
    Api api;
    const char *covers;
    Dtype image_type;  ///< of the layer's input
    Dtype type;        ///< of the output
    RowParams params;
    // The one that `stage` says.
    LayerFunction layer = nullptr;
    FinishFunction finish = nullptr;
    AxesFunction axes = nullptr;
};

/// Every row as built for every API; none where the library is built without GPUs.
std::span<const Row> rows();
/// Whether functions for an API are built in.
bool is_built(Api api);
/// Whether an API has functions for layers of a type.
bool takes(Api api, Dtype dtype);
/// @throws TargetError  where it has none
void check_dtype(Api api, Dtype dtype);

}  // namespace sepconv::gpu
