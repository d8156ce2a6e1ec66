/* Which parts an x86-64 CPU has, by the CPUID instruction (Intel's Software Developer's Manual, volume 2A; AMD's Architecture Programmer's
 * Manual, volume 3). Freestanding. */
#include "support.h"

struct registers {
    uint32_t a, b, c, d;
};

static struct registers cpuid(uint32_t leaf, uint32_t part) {
    struct registers r;
    __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(part));
    return r;
}

/* The register states that the operating system saves. */
static uint32_t saved_states(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int all(uint32_t value, uint32_t bits) { return (value & bits) == bits; }

static uint32_t parts_of_this_cpu(void) {
    const uint32_t ymm_states = 1u << 1 | 1u << 2, zmm_states = ymm_states | 7u << 5, tile_states = 3u << 17;
    const uint32_t avx512_f = 1u << 16, avx512_cd = 1u << 28, avx512_dq_bw_vl = 1u << 17 | 1u << 30 | 1u << 31, avx512_ifma = 1u << 21;
    const uint32_t vbmi = 1u << 1, vbmi2_vnni_bitalg_popcnt = 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14;
    const uint32_t avx_vnni = 1u << 4, avx512_bf16 = 1u << 5, vp2intersect = 1u << 8, amx = 1u << 22 | 1u << 24 | 1u << 25;
    const struct registers one = cpuid(1, 0);
    const uint32_t leaves = cpuid(0, 0).a;
    uint32_t parts = 0, states;
    struct registers seven, seven_one;
    if (all(one.c, 1u << 19)) parts |= sepconv_x86_sse41;
    if (!all(one.c, 1u << 27 | 1u << 28)) return parts; /* no AVX, or an operating system that does not know it */
    states = saved_states();
    if (!all(states, ymm_states)) return parts;
    parts |= sepconv_x86_avx;
    if (all(one.c, 1u << 29)) parts |= sepconv_x86_f16c;
    if (all(one.c, 1u << 12)) parts |= sepconv_x86_fma;
    if (leaves < 7) return parts;
    seven = cpuid(7, 0);
    seven_one.a = seven.a >= 1 ? cpuid(7, 1).a : 0;
    if (all(seven.b, 1u << 5)) parts |= sepconv_x86_avx2;
    if (!all(states, zmm_states) || !all(seven.b, avx512_f | avx512_cd)) return parts;
    parts |= sepconv_x86_avx512;
    if (!all(seven.b, avx512_dq_bw_vl)) return parts;
    parts |= sepconv_x86_avx512_skylake;
    if (!all(seven.b, avx512_ifma) || !all(seven.c, vbmi)) return parts;
    parts |= sepconv_x86_avx512_cannonlake;
    if (!all(seven.c, vbmi2_vnni_bitalg_popcnt) || !all(seven_one.a, avx512_bf16)) return parts;
    parts |= sepconv_x86_avx512_zen4;
    if (all(seven_one.a, avx_vnni) && all(seven.d, vp2intersect)) parts |= sepconv_x86_avx512_zen5;
    if (all(seven_one.a, avx_vnni) && all(seven.d, amx) && all(states, tile_states)) parts |= sepconv_x86_avx512_sapphirerapids;
    return parts;
}

int32_t sepconv_support_x86_has(uint32_t wanted) {
    /* Asking the CPU takes long where a hypervisor answers. Every thread finds the same, so that it does not matter which one stores it. */
    static const uint32_t known = 1u << 31;
    static uint32_t found;
    uint32_t parts = __atomic_load_n(&found, __ATOMIC_RELAXED);
    if (parts == 0) {
        parts = parts_of_this_cpu() | known;
        __atomic_store_n(&found, parts, __ATOMIC_RELAXED);
    }
    return all(parts, wanted);
}
