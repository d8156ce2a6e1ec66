#include "bandwidth.h"

#ifdef __aarch64__
#include <arm_neon.h>
#else
#include <immintrin.h>
#endif
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

namespace sepconv::bench {
namespace {

// Four sums, so that no addition waits for the one before it. `bytes` is a multiple of 256.
#ifdef __aarch64__
void read_neon(const char *block, std::size_t bytes) {
    uint64x2_t sums[4] = {};
    for (std::size_t i = 0; i < bytes; i += 64) {
        for (std::size_t j = 0; j < 4; j++) {
            sums[j] = vaddq_u64(sums[j], vreinterpretq_u64_u8(vld1q_u8(reinterpret_cast<const std::uint8_t *>(block + i + 16 * j))));
        }
    }
    asm volatile("" : : "w"(sums[0]), "w"(sums[1]), "w"(sums[2]), "w"(sums[3]));
}

auto widest_read() { return read_neon; }
#else
__attribute__((target("avx512f"))) void read_avx512(const char *block, std::size_t bytes) {
    __m512i sums[4] = {};
    for (std::size_t i = 0; i < bytes; i += 256) {
        for (std::size_t j = 0; j < 4; j++) sums[j] = _mm512_add_epi64(sums[j], _mm512_loadu_si512(block + i + 64 * j));
    }
    asm volatile("" : : "v"(sums[0]), "v"(sums[1]), "v"(sums[2]), "v"(sums[3]));
}

__attribute__((target("avx2"))) void read_avx2(const char *block, std::size_t bytes) {
    __m256i sums[4] = {};
    for (std::size_t i = 0; i < bytes; i += 128) {
        for (std::size_t j = 0; j < 4; j++) {
            sums[j] = _mm256_add_epi64(sums[j], _mm256_loadu_si256(reinterpret_cast<const __m256i *>(block + i + 32 * j)));
        }
    }
    asm volatile("" : : "x"(sums[0]), "x"(sums[1]), "x"(sums[2]), "x"(sums[3]));
}

void read_sse2(const char *block, std::size_t bytes) {
    __m128i sums[4] = {};
    for (std::size_t i = 0; i < bytes; i += 64) {
        for (std::size_t j = 0; j < 4; j++) {
            sums[j] = _mm_add_epi64(sums[j], _mm_loadu_si128(reinterpret_cast<const __m128i *>(block + i + 16 * j)));
        }
    }
    asm volatile("" : : "x"(sums[0]), "x"(sums[1]), "x"(sums[2]), "x"(sums[3]));
}

auto widest_read() { return __builtin_cpu_supports("avx512f") ? read_avx512 : __builtin_cpu_supports("avx2") ? read_avx2 : read_sse2; }
#endif

// Bytes per nanosecond of the fastest call that fits the time.
template <typename Move>
double fastest(std::size_t bytes, double seconds, Move move) {
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    // A block in a cache is passed over several times in one measurement, so that the clock's own cost does not show.
    const std::size_t passes = std::max<std::size_t>(1, (std::size_t(4) << 20) / bytes);
    double most = 0;
    for (auto start = Clock::now(); start < end;) {
        for (std::size_t i = 0; i < passes; i++) move();
        const auto stop = Clock::now();
        most = std::max(most, static_cast<double>(passes * bytes) / std::chrono::duration<double, std::nano>(stop - start).count());
        start = stop;
    }
    return most;
}

std::size_t cache_bytes(int name, std::size_t otherwise) {
    const long bytes = sysconf(name);
    return bytes > 0 ? static_cast<std::size_t>(bytes) : otherwise;
}

constexpr std::size_t granule = 4096;

}  // namespace

double read_bandwidth(std::size_t bytes, double seconds) {
    const std::vector<char> block(bytes / granule * granule, 1);
    const auto read = widest_read();
    return fastest(block.size(), seconds, [&] { read(block.data(), block.size()); });
}

double copy_bandwidth(std::size_t bytes, double seconds) {
    std::vector<char> block(bytes / granule * granule, 1);
    const std::size_t half = block.size() / 2;
    return fastest(block.size(), seconds, [&] {
        std::memcpy(block.data(), block.data() + half, half);
        asm volatile("" : : "r"(block.data()) : "memory");
    });
}

std::size_t bytes_in_l2() { return cache_bytes(_SC_LEVEL2_CACHE_SIZE, 512 << 10) / 2; }
std::size_t bytes_beyond_caches() { return std::max<std::size_t>(4 * cache_bytes(_SC_LEVEL3_CACHE_SIZE, 64 << 20), 128 << 20); }

}  // namespace sepconv::bench
