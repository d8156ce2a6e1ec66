// Finds the support objects of a system, whose bytes the assembler puts into this program.
#include "support/objects.h"

extern "C" {
#define SEPCONV_SUPPORT(name) extern const char sepconv_support_##name##_begin[], sepconv_support_##name##_end[]
SEPCONV_SUPPORT(chkstk_coff);
SEPCONV_SUPPORT(gpu_arm_elf);
SEPCONV_SUPPORT(gpu_arm_macho);
SEPCONV_SUPPORT(gpu_x86_coff);
SEPCONV_SUPPORT(gpu_x86_elf);
SEPCONV_SUPPORT(gpu_x86_macho);
SEPCONV_SUPPORT(wasm);
SEPCONV_SUPPORT(x86_coff);
SEPCONV_SUPPORT(x86_elf);
SEPCONV_SUPPORT(x86_macho);
#undef SEPCONV_SUPPORT
}

namespace sepconv::compiler {

std::vector<SupportObject> support_objects(const Halide::Target &target, bool dispatches) {
    using Halide::Target;
    std::vector<SupportObject> objects;
    const bool x86 = target.arch == Target::X86, windows = target.os == Target::Windows;
    const bool apple = target.os == Target::OSX || target.os == Target::IOS;
#define SEPCONV_ADD(shown, name) objects.push_back({shown, sepconv_support_##name##_begin, sepconv_support_##name##_end})
    if (target.arch == Target::WebAssembly) SEPCONV_ADD("sepconv_support_free", wasm);
    if (x86 && windows) SEPCONV_ADD("sepconv_chkstk", chkstk_coff);
    if (x86 && dispatches) {
        constexpr const char *name = "sepconv_support_x86";
        if (windows) {
            SEPCONV_ADD(name, x86_coff);
        } else if (apple) {
            SEPCONV_ADD(name, x86_macho);
        } else {
            SEPCONV_ADD(name, x86_elf);
        }
    }
    if (target.has_gpu_feature()) {
        constexpr const char *name = "sepconv_support_gpu";
        if (x86 && windows) {
            SEPCONV_ADD(name, gpu_x86_coff);
        } else if (x86 && apple) {
            SEPCONV_ADD(name, gpu_x86_macho);
        } else if (x86) {
            SEPCONV_ADD(name, gpu_x86_elf);
        } else if (apple) {
            SEPCONV_ADD(name, gpu_arm_macho);
        } else {
            SEPCONV_ADD(name, gpu_arm_elf);
        }
    }
#undef SEPCONV_ADD
    return objects;
}

}  // namespace sepconv::compiler
