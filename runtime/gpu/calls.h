// The user_context of the functions that are compiled for GPUs: whatever these ask of their runtime comes to the functions of calls.cpp
// with it (cmake/gpu_calls.txt has the list), and what fails is kept in it.
#pragma once

#include <string>

#include "gpu/device.h"

namespace sepconv::gpu {

/// One call of a generated function. Every buffer has its Memory in `device`, which lies at the buffer's first element, and minima of 0.
///
/// The generated functions are compiled without assertions: they return 0 whatever happens, and go on after a failure. So the first failure
/// stays here, and from then on nothing is allocated or started.
struct GpuCall {
    Device *device = nullptr;
    Stream stream;
    std::string error;
    /// Not 0 where something failed: one of HalideRuntime.h's halide_error_code_t.
    int status = 0;
    Compilation how = {};

    /// @throws ExecutionError  with `error`, where something failed
    void check() const;
};

}  // namespace sepconv::gpu
