// Independent chains: more than the latency times the number of multipliers, twelve on any x86, twenty-four on any ARM.
#include "peak.h"

#ifdef __aarch64__
#include <arm_neon.h>
#else
#include <immintrin.h>
#endif

#include <algorithm>
#include <chrono>
#include <limits>

#include "together.h"

namespace sepconv::bench {
namespace {

constexpr int rounds = 2000;

// In assembly, so that the compiler neither merges nor moves the chains. `STEP` is one multiply-add on one of them, with `loads` beside a
// load from the first-level cache.
#define SEPCONV_TWELVE(STEP, i) \
    STEP(i##0) STEP(i##1) STEP(i##2) STEP(i##3) STEP(i##4) STEP(i##5) STEP(i##6) STEP(i##7) STEP(i##8) STEP(i##9) STEP(i##a) STEP(i##b)

#ifdef __aarch64__
constexpr int chains = 24;
#define SEPCONV_CHAINS(STEP) SEPCONV_TWELVE(STEP, x) SEPCONV_TWELVE(STEP, y)

template <bool loads>
void multiply_add_neon() {
    const float32x4_t factor = vdupq_n_f32(0.999f), start = vdupq_n_f32(1e-3f);
    [[maybe_unused]] float32x4_t line = start, loaded;
#define SEPCONV_START(i) float32x4_t a##i = start;
    SEPCONV_CHAINS(SEPCONV_START)
    for (int round = 0; round < rounds; round++) {
#define SEPCONV_STEP(i)                                                              \
    asm volatile("fmla %0.4s, %1.4s, %2.4s" : "+w"(a##i) : "w"(factor), "w"(start)); \
    if constexpr (loads) asm volatile("ldr %q0, %1" : "=w"(loaded) : "m"(line));
        SEPCONV_CHAINS(SEPCONV_STEP)
    }
#undef SEPCONV_START
#undef SEPCONV_STEP
}

template <bool loads>
__attribute__((target("arch=armv8.2-a+fp16"))) void multiply_add_neon_fp16() {
    const float32x4_t factor = vreinterpretq_f32_u16(vdupq_n_u16(0x3bff)), start = vreinterpretq_f32_u16(vdupq_n_u16(0x1419));
    [[maybe_unused]] float32x4_t line = start, loaded;
#define SEPCONV_START(i) float32x4_t a##i = start;
    SEPCONV_CHAINS(SEPCONV_START)
    for (int round = 0; round < rounds; round++) {
#define SEPCONV_STEP(i)                                                              \
    asm volatile("fmla %0.8h, %1.8h, %2.8h" : "+w"(a##i) : "w"(factor), "w"(start)); \
    if constexpr (loads) asm volatile("ldr %q0, %1" : "=w"(loaded) : "m"(line));
        SEPCONV_CHAINS(SEPCONV_STEP)
    }
#undef SEPCONV_START
#undef SEPCONV_STEP
}

#else
constexpr int chains = 12;
#define SEPCONV_CHAINS(STEP) SEPCONV_TWELVE(STEP, )

template <bool loads>
__attribute__((target("avx512f"))) void multiply_add_avx512() {
    const __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f);
    [[maybe_unused]] __m512 line = y, loaded;
#define SEPCONV_START(i) __m512 a##i = y;
    SEPCONV_CHAINS(SEPCONV_START)
    for (int round = 0; round < rounds; round++) {
#define SEPCONV_STEP(i)                                                   \
    asm volatile("vfmadd213ps %2, %1, %0" : "+v"(a##i) : "v"(x), "v"(y)); \
    if constexpr (loads) asm volatile("vmovaps %1, %0" : "=v"(loaded) : "m"(line));
        SEPCONV_CHAINS(SEPCONV_STEP)
    }
#undef SEPCONV_START
#undef SEPCONV_STEP
}

template <bool loads>
__attribute__((target("avx2,fma"))) void multiply_add_avx2() {
    const __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f);
    [[maybe_unused]] __m256 line = y, loaded;
#define SEPCONV_START(i) __m256 a##i = y;
    SEPCONV_CHAINS(SEPCONV_START)
    for (int round = 0; round < rounds; round++) {
#define SEPCONV_STEP(i)                                                   \
    asm volatile("vfmadd213ps %2, %1, %0" : "+x"(a##i) : "x"(x), "x"(y)); \
    if constexpr (loads) asm volatile("vmovaps %1, %0" : "=x"(loaded) : "m"(line));
        SEPCONV_CHAINS(SEPCONV_STEP)
    }
#undef SEPCONV_START
#undef SEPCONV_STEP
}

// Without a fused multiply-add: a multiplication and an addition, each on chains of its own.
template <bool loads>
void multiply_and_add_sse41() {
    const __m128 x = _mm_set1_ps(0.999f), y = _mm_set1_ps(1e-3f);
    [[maybe_unused]] __m128 line = y, loaded;
#define SEPCONV_START(i) __m128 a##i = y;
    SEPCONV_CHAINS(SEPCONV_START)
    for (int round = 0; round < rounds; round++) {
#define SEPCONV_MULTIPLY(i)                             \
    asm volatile("mulps %1, %0" : "+x"(a##i) : "x"(x)); \
    if constexpr (loads) asm volatile("movaps %1, %0" : "=x"(loaded) : "m"(line))
#define SEPCONV_ADD(i) asm volatile("addps %1, %0" : "+x"(a##i) : "x"(y))
        SEPCONV_MULTIPLY(0);
        SEPCONV_ADD(1);
        SEPCONV_MULTIPLY(2);
        SEPCONV_ADD(3);
        SEPCONV_MULTIPLY(4);
        SEPCONV_ADD(5);
        SEPCONV_MULTIPLY(6);
        SEPCONV_ADD(7);
        SEPCONV_MULTIPLY(8);
        SEPCONV_ADD(9);
        SEPCONV_MULTIPLY(a);
        SEPCONV_ADD(b);
    }
#undef SEPCONV_START
#undef SEPCONV_MULTIPLY
#undef SEPCONV_ADD
}
#endif

template <bool loads>
double multiply_adds(const std::string &target, int repetitions, int threads) {
#ifdef __aarch64__
    const auto run = target == "neon_fp16" ? multiply_add_neon_fp16<loads> : multiply_add_neon<loads>;
#else
    const auto run = target == "avx512" ? multiply_add_avx512<loads>
                     : target == "avx2" ? multiply_add_avx2<loads>
                                        : multiply_and_add_sse41<loads>;
#endif
    const double lanes = target == "avx512"                          ? 16
                         : target == "avx2" || target == "neon_fp16" ? 8
                                                                     : 4,
                 operations = target == "sse41" ? 1 : 2;
    return together(threads, [&] {
        double least = std::numeric_limits<double>::infinity();
        for (int i = 0; i < repetitions; i++) {
            const auto start = std::chrono::steady_clock::now();
            run();
            least = std::min(least, std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count());
        }
        return chains * rounds * lanes * operations / least;
    });
}

}  // namespace

double peak(const std::string &target, int repetitions, int threads) { return multiply_adds<false>(target, repetitions, threads); }

double peak_beside_loads(const std::string &target, int repetitions, int threads) {
    return multiply_adds<true>(target, repetitions, threads);
}

}  // namespace sepconv::bench
