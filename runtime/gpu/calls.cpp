// What the functions that are compiled for GPUs call in place of Halide's runtime. The build renames their calls (cmake/gpu_calls.txt), so
// another user of Halide in the process meets none of this, and the same functions serve every API.
#include "gpu/calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <utility>
#include <vector>

#include "HalideRuntime.h"
#include "sepconv/error.h"

namespace sepconv::gpu {

void GpuCall::check() const {
    if (status != 0) throw ExecutionError(error.empty() ? "memory ran out while an error was reported" : error);
}

namespace {

GpuCall &call_of(void *user_context) { return *static_cast<GpuCall *>(user_context); }

// No exception may pass through the generated code. The first failure is the reason of those that follow.
template <typename Action>
int guarded(GpuCall &call, int status, Action &&action) noexcept {
    try {
        action();
        return 0;
    } catch (const std::exception &failure) {
        if (call.status == 0) {
            call.status = status;
            try {
                call.error = failure.what();
            } catch (...) {
                call.error.clear();
            }
        }
    }
    return call.status;
}

bool is_empty(const halide_buffer_t &buffer) {
    return std::any_of(buffer.dim, buffer.dim + buffer.dimensions,
                       [](const halide_dimension_t &dimension) { return dimension.extent == 0; });
}

}  // namespace
}  // namespace sepconv::gpu

using sepconv::gpu::call_of;
using sepconv::gpu::GpuCall;
using sepconv::gpu::guarded;
using sepconv::gpu::is_empty;

extern "C" {

// `state` is a variable of the object, one for all contexts and threads: what every call writes there is the same.
int sepconv_gpu_initialize_kernels(void *user_context, void **state, const char *text, int bytes) {
    std::atomic_ref(*state).store(const_cast<char *>(text), std::memory_order_relaxed);
    GpuCall &call = call_of(user_context);
    if (call.status != 0) return call.status;
    return guarded(call, halide_error_code_gpu_device_error, [&] { call.device->load(text, static_cast<std::size_t>(bytes), call.how); });
}

// The programs stay with the device.
void sepconv_gpu_finalize_kernels(void *, void *) {}

int sepconv_gpu_run(void *user_context, void *state, const char *kernel, int blocks_x, int blocks_y, int blocks_z, int threads_x,
                    int threads_y, int threads_z, int shared_bytes, std::size_t sizes[], void *arguments[], std::int8_t is_buffer[]) {
    GpuCall &call = call_of(user_context);
    if (call.status != 0) return call.status;
    return guarded(call, halide_error_code_device_run_failed, [&] {
        std::vector<void *> values;
        values.reserve(64);
        for (std::size_t i = 0; sizes[i] != 0; i++) {
            values.push_back(is_buffer[i] != 0 ? &static_cast<halide_buffer_t *>(arguments[i])->device : arguments[i]);
        }
        call.device->launch(
            {.program = static_cast<const char *>(state),
             .kernel = kernel,
             .grid = {static_cast<unsigned>(blocks_x), static_cast<unsigned>(blocks_y), static_cast<unsigned>(blocks_z)},
             .block = {static_cast<unsigned>(threads_x), static_cast<unsigned>(threads_y), static_cast<unsigned>(threads_z)},
             .shared_bytes = static_cast<unsigned>(shared_bytes),
             .arguments = values,
             .sizes = sizes,
             .is_buffer = is_buffer},
            call.stream);
    });
}

// Only handed on to the functions below, which have their device from the call.
const halide_device_interface_t *sepconv_gpu_device_interface() { return nullptr; }

int sepconv_gpu_copy_to_device(void *user_context, halide_buffer_t *buffer, const halide_device_interface_t *) {
    GpuCall &call = call_of(user_context);
    if (call.status != 0) return call.status;
    return guarded(call, halide_error_code_copy_to_device_failed, [&] {
        if (buffer->device == 0 && !is_empty(*buffer)) {
            throw sepconv::ExecutionError(
                fmt::format("expected every tensor in the memory of {}, found one that is not", call.device->name()));
        }
    });
}

// The intermediate tensors; it is called for one that is there already, too.
int sepconv_gpu_device_malloc(void *user_context, halide_buffer_t *buffer, const halide_device_interface_t *) {
    GpuCall &call = call_of(user_context);
    if (call.status != 0) return call.status;
    if (buffer->device != 0) return 0;
    return guarded(call, halide_error_code_device_malloc_failed,
                   [&] { buffer->device = call.device->allocate_in_order(is_empty(*buffer) ? 0 : buffer->size_in_bytes(), call.stream); });
}

// Also after a failure: what was allocated before it is given back.
int sepconv_gpu_device_free(void *user_context, halide_buffer_t *buffer) {
    GpuCall &call = call_of(user_context);
    return guarded(call, halide_error_code_device_free_failed,
                   [&] { call.device->free_in_order(std::exchange(buffer->device, 0), call.stream); });
}

void sepconv_gpu_device_free_as_destructor(void *user_context, void *buffer) {
    sepconv_gpu_device_free(user_context, static_cast<halide_buffer_t *>(buffer));
}

// Nothing is computed on the host, but an intermediate tensor is asked for there with 0 bytes; nullptr is not freed again.
void *sepconv_gpu_malloc(void *user_context, std::size_t bytes) {
    if (bytes == 0) return nullptr;
    GpuCall &call = call_of(user_context);
    guarded(call, halide_error_code_out_of_memory, [&] {
        throw sepconv::ExecutionError(
            fmt::format("expected all of it on {}, found {} bytes to compute on the host", call.device->name(), bytes));
    });
    return nullptr;
}

void sepconv_gpu_free(void *, void *) {}

}  // extern "C"
