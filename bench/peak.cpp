// Twelve independent chains: more than the latency times the number of multipliers of any x86.
#include "peak.h"

#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "together.h"

namespace sepconv::bench {
namespace {

constexpr int chains = 12, rounds = 2000;

// In assembly, so that the compiler neither merges nor moves the chains. `STEP` is one multiply-add on one of them.
#define SEPCONV_CHAINS(STEP) STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11)

__attribute__((target("avx512f"))) void multiply_add_avx512() {
    const __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f);
#define SEPCONV_START(i) __m512 a##i = y;
    SEPCONV_CHAINS(SEPCONV_START)
    for (int round = 0; round < rounds; round++) {
#define SEPCONV_STEP(i) asm volatile("vfmadd213ps %2, %1, %0" : "+v"(a##i) : "v"(x), "v"(y));
        SEPCONV_CHAINS(SEPCONV_STEP)
    }
#undef SEPCONV_START
#undef SEPCONV_STEP
}

__attribute__((target("avx2,fma"))) void multiply_add_avx2() {
    const __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f);
#define SEPCONV_START(i) __m256 a##i = y;
    SEPCONV_CHAINS(SEPCONV_START)
    for (int round = 0; round < rounds; round++) {
#define SEPCONV_STEP(i) asm volatile("vfmadd213ps %2, %1, %0" : "+x"(a##i) : "x"(x), "x"(y));
        SEPCONV_CHAINS(SEPCONV_STEP)
    }
#undef SEPCONV_START
#undef SEPCONV_STEP
}

// Without a fused multiply-add: a multiplication and an addition, each on chains of its own.
void multiply_and_add_sse41() {
    const __m128 x = _mm_set1_ps(0.999f), y = _mm_set1_ps(1e-3f);
#define SEPCONV_START(i) __m128 a##i = y;
    SEPCONV_CHAINS(SEPCONV_START)
    for (int round = 0; round < rounds; round++) {
#define SEPCONV_MULTIPLY(i) asm volatile("mulps %1, %0" : "+x"(a##i) : "x"(x))
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
        SEPCONV_MULTIPLY(10);
        SEPCONV_ADD(11);
    }
#undef SEPCONV_START
#undef SEPCONV_MULTIPLY
#undef SEPCONV_ADD
}

}  // namespace

double peak(const std::string &target, int repetitions, int threads) {
    const auto run = target == "avx512" ? multiply_add_avx512 : target == "avx2" ? multiply_add_avx2 : multiply_and_add_sse41;
    const double lanes = target == "avx512" ? 16 : target == "avx2" ? 8 : 4, operations = target == "sse41" ? 1 : 2;
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

}  // namespace sepconv::bench
