// GPUs: what the library runs on beside CPUs. A Layer for the target "cuda", "opencl" or "vulkan" keeps its weights on the device.
#pragma once

#include <string>
#include <vector>

#include "sepconv/export.h"

namespace sepconv {

/// A stream of CUDA: a CUstream or cudaStream_t, which are the same. nullptr is the context's default stream.
struct CudaStream {
    void *handle = nullptr;
};

/// A target that needs a GPU, as functions are built in for it.
struct Gpu {
    std::string target;   ///< "cuda", "opencl", "vulkan"
    std::string device;   ///< the name of the one that would be taken; empty where there is none
    std::string why_not;  ///< why none of its functions runs here; empty where they do
};

/// The GPU targets built in. A Layer takes one only where it is named, as its target or in $SEPCONV_TARGET.
SEPCONV_EXPORT std::vector<Gpu> gpus();

}  // namespace sepconv
