// The generated registry of GPU functions made into an array.
#include "gpu/rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "sepconv/error.h"

#define SEPCONV_GPU_ROW(stage, name, api, ...) SEPCONV_DECLARE_##stage(sepconv_##name##_##api)
#define SEPCONV_DECLARE_gpu_layer(symbol)                                                                                                  \
    int symbol(void *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, int, int, int, int, int, int, int, int, \
               int, int, int, int, int, int, int, int, int, float, float, halide_buffer_t *);
#define SEPCONV_DECLARE_gpu_finish(symbol) int symbol(void *, halide_buffer_t *, halide_buffer_t *, float, float, float, halide_buffer_t *);
#define SEPCONV_DECLARE_gpu_axes(symbol) int symbol(void *, halide_buffer_t *, int, int, int, int, halide_buffer_t *);
extern "C" {
#include "sepconv_gpu_registry.inc"
}
#undef SEPCONV_GPU_ROW

namespace sepconv::gpu {
namespace {

constexpr Row with(Row row, LayerFunction function) {
    row.layer = function;
    return row;
}
constexpr Row with(Row row, FinishFunction function) {
    row.finish = function;
    return row;
}
constexpr Row with(Row row, AxesFunction function) {
    row.axes = function;
    return row;
}

#define SEPCONV_GPU_ROW(stage, name, api, covers, image_type, type, ...)                                                                \
    with(Row{#name, Stage::stage, Api::api, covers, Dtype::image_type, Dtype::type, RowParams{__VA_ARGS__}, nullptr, nullptr, nullptr}, \
         &sepconv_##name##_##api),
// The last one is none, so that a library without GPUs has an array too.
constexpr Row all[] = {
#include "sepconv_gpu_registry.inc"
    Row{"", Stage::gpu_layer, Api::cuda, "", Dtype::float32, Dtype::float32, RowParams{}, nullptr, nullptr, nullptr}};
#undef SEPCONV_GPU_ROW

}  // namespace

const char *name(Stage stage) {
    switch (stage) {
        case Stage::gpu_layer:
            return "gpu_layer";
        case Stage::gpu_finish:
            return "gpu_finish";
        case Stage::gpu_axes:
            return "gpu_axes";
    }
    return "";
}

const char *name(Api api) {
    switch (api) {
        case Api::cuda:
            return "cuda";
        case Api::opencl:
            return "opencl";
        case Api::vulkan:
            return "vulkan";
    }
    return "";
}

std::span<const Row> rows() { return std::span(all).first(std::size(all) - 1); }

bool is_built(Api api) {
    const std::span<const Row> all_rows = rows();
    return std::any_of(all_rows.begin(), all_rows.end(), [&](const Row &row) { return row.api == api; });
}

bool takes(Api api, Dtype dtype) {
    const std::span<const Row> all_rows = rows();
    return std::any_of(all_rows.begin(), all_rows.end(),
                       [&](const Row &row) { return row.api == api && row.stage == Stage::gpu_layer && row.image_type == dtype; });
}

void check_dtype(Api api, Dtype dtype) {
    if (takes(api, dtype)) return;
    throw TargetError(fmt::format("dtype: expected float32 on {}, found {}", name(api), sepconv::name(dtype)));
}

}  // namespace sepconv::gpu
