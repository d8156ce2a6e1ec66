// The SPIR-V that Halide compiles for Vulkan: a list of kernels, each a module of its own with a header that says what it is bound to; and
// what is changed in a module before a driver has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sepconv::gpu {

struct SpirvKernel {
    std::string name;                 ///< of the kernel, and of the module's entry point
    std::vector<std::uint32_t> code;  ///< the module
    /// Binding 0 is a uniform buffer with the scalar arguments where it is 1; the storage buffers follow. All are of set 0.
    unsigned uniform_buffers = 0, storage_buffers = 0;
    unsigned shared_bytes = 0;  ///< whose number the module has
    /// A specialization constant, the number of elements of the rest of the shared memory; 0 where there is none.
    unsigned shared_constant = 0, shared_element_bytes = 0;
};

/// @throws ExecutionError  where the text is no such list
std::vector<SpirvKernel> spirv_kernels(const char *text, std::size_t bytes);

/// Blocks along x that every device starts at once, a row. What is more of them lies along y: block x of row y is number x + y · this.
constexpr unsigned spirv_blocks_in_row = 65535;

struct SpirvChanges {
    /// Whether the blocks of a grid of one dimension lie in rows.
    bool in_rows = false;
    /// Whether the driver is told that NaN, infinities and the sign of zero matter, which the extension SPV_KHR_float_controls can say.
    bool keeps_special_values = false;
    /// Whether every addition and multiplication is rounded by itself, in the order in which it is written.
    bool is_exact = false;
};

/// The module with these changes.
std::vector<std::uint32_t> prepared_spirv(const std::vector<std::uint32_t> &code, SpirvChanges changes);

}  // namespace sepconv::gpu
