/* What a compiled layer needs that Halide's intermediate form cannot say. The C files beside this one are compiled when sepconv itself is
 * built, for every system that needs them; `sepconv compile` puts the object into the layer's library. Several libraries in one program
 * hold the same functions: the first one serves all. */
#ifndef SEPCONV_COMPILER_SUPPORT_H
#define SEPCONV_COMPILER_SUPPORT_H

#include <stdint.h>

/* Parts of an x86-64 CPU that a target may ask for, each with all that Halide's feature of the name stands for. */
enum {
    sepconv_x86_sse41 = 1 << 0,
    sepconv_x86_avx = 1 << 1,
    sepconv_x86_f16c = 1 << 2,
    sepconv_x86_fma = 1 << 3,
    sepconv_x86_avx2 = 1 << 4,
    sepconv_x86_avx512 = 1 << 5,
    sepconv_x86_avx512_skylake = 1 << 6,
    sepconv_x86_avx512_cannonlake = 1 << 7,
    sepconv_x86_avx512_zen4 = 1 << 8,
    sepconv_x86_avx512_zen5 = 1 << 9,
    sepconv_x86_avx512_sapphirerapids = 1 << 10
};

/* 1 where this CPU and its operating system have every part in `wanted`. */
int32_t sepconv_support_x86_has(uint32_t wanted);

/* free(), with a result: Halide's intermediate form knows no function without one, which WebAssembly tells apart. Always 0. */
int32_t sepconv_support_free(void *memory);

/* Around the work of a layer on a GPU: errors become codes (gpu.c). Always 0. */
int32_t sepconv_support_enter(void);
int32_t sepconv_support_leave(void);

#endif
