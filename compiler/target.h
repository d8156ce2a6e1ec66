// The machines to compile for, as --target names them: Halide's target strings, checked before Halide sees them.
#pragma once

#include <string>
#include <vector>

#include "Halide.h"

namespace sepconv::compiler {

/// One machine, or the part of one family's machines that have some features.
struct Machine {
    Halide::Target target;
    /// The features in a C identifier, for example "avx2_fma"; "baseline" where there are none. Tells the functions for several targets
    /// apart.
    std::string suffix;
};

/// Reads --target: one target, or several of one system with x86-64 CPUs, best first, of which the library takes the first that the CPU
/// runs. "host" is this machine; "cuda", "opencl" and "vulkan" are this machine with its GPU.
/// @param force  also take what Halide is known to compile or run wrongly: vulkan; sve and sve2, which may have vector_bits_N beside them
/// @throws tools::UsageError  an unknown part is shown with those that are known.
std::vector<Machine> parse_machines(const std::string &list, bool force = false);

/// Whether the library's functions start work on a GPU.
bool on_gpu(const Halide::Target &target);

/// The target for a layer of float16 whose sums are float32: with the feature by which Halide takes the instructions that convert. Every
/// 64-bit ARM has these, although Halide knows them only as a part of half-precision arithmetic, of which such a layer has none.
Halide::Target for_conversions(Halide::Target target);

/// The target for the lowering of pipelines: on a CPU, what their callers have checked is not checked again; nothing of Halide's runtime
/// is put into their object.
Halide::Target for_pipelines(const Halide::Target &target);

}  // namespace sepconv::compiler
