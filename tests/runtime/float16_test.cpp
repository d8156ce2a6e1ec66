// Every half-precision number against its definition, and every place where rounding changes its answer.
#include "sepconv/float16.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace sepconv {
namespace {

constexpr std::uint32_t infinity_bits = 0x7c00, sign_bit = 0x8000;

// Sign and fraction and exponent as the standard has them; infinity is what the next power of two would be.
double defined(std::uint32_t bits) {
    const int exponent = int(bits >> 10 & 31), fraction = int(bits & 1023);
    const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    return (bits & sign_bit) != 0 ? -magnitude : magnitude;
}

bool is_nan(std::uint32_t bits) { return (bits & 0x7fff) > infinity_bits; }

float widened(std::uint32_t bits) { return static_cast<float>(float16::from_bits(static_cast<std::uint16_t>(bits))); }

std::uint32_t rounded(float value) { return float16(value).bits; }

static_assert(std::is_trivially_copyable_v<float16> && std::is_standard_layout_v<float16>);
static_assert(float16(1.0f).bits == 0x3c00 && static_cast<float>(float16::from_bits(0xc000)) == -2.0f);
static_assert(!std::is_convertible_v<float, float16> && !std::is_convertible_v<float16, float>);

TEST(Float16, IsZeroByDefault) { EXPECT_EQ(float16().bits, 0); }

TEST(Float16, EveryNumberIsWidenedToItsDefinition) {
    for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
        if ((bits & 0x7fff) >= infinity_bits) continue;
        const float value = widened(bits);
        ASSERT_EQ(value, defined(bits)) << fmt::format("{:#06x}", bits);
        ASSERT_EQ(std::signbit(value), bits >= sign_bit) << fmt::format("{:#06x}", bits);
    }
}

TEST(Float16, InfinitiesAreWidenedToInfinities) {
    EXPECT_EQ(widened(0x7c00), std::numeric_limits<float>::infinity());
    EXPECT_EQ(widened(0xfc00), -std::numeric_limits<float>::infinity());
}

TEST(Float16, EveryBitPatternComesBackFromFloat) {
    for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
        // The bit that makes a NaN quiet.
        const std::uint32_t expected = is_nan(bits) ? bits | 0x200 : bits;
        ASSERT_EQ(rounded(widened(bits)), expected) << fmt::format("{:#06x}", bits);
    }
}

TEST(Float16, NanBecomesQuietAndKeepsItsSignAndTheUpperPayload) {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(widened(0x7c01)), 0x7fc02000u);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(widened(0xfd55)), 0xffeaa000u);
    EXPECT_EQ(rounded(std::bit_cast<float>(0x7fc00000u)), 0x7e00u);
    EXPECT_EQ(rounded(std::bit_cast<float>(0xffffffffu)), 0xffffu);
    EXPECT_EQ(rounded(std::bit_cast<float>(0x7f802000u)), 0x7e01u);
    // Nothing of this payload is left but that it is one.
    EXPECT_EQ(rounded(std::bit_cast<float>(0xff800001u)), 0xfe00u);
}

// Between each number and the next one up: halfway goes to the even one, everything else to the nearer one. The last pair is the largest
// number, 65504, and infinity in the place of 65536, with 65520 between them; the first 0 and 2^-24.
TEST(Float16, HalfwayBetweenNeighboursGoesToTheEvenOneAndAllElseToTheNearer) {
    for (std::uint32_t below = 0; below < infinity_bits; ++below) {
        const std::uint32_t above = below + 1, even = below % 2 == 0 ? below : above;
        // Exact in float, which has 13 bits more.
        const auto halfway = static_cast<float>((defined(below) + defined(above)) / 2);
        for (const std::uint32_t sign : {0u, sign_bit}) {
            const auto signed_rounded = [&](float value) { return rounded(sign != 0 ? -value : value); };
            const float infinity = std::numeric_limits<float>::infinity();
            ASSERT_EQ(signed_rounded(halfway), sign | even) << fmt::format("{:#06x}", below);
            ASSERT_EQ(signed_rounded(std::nextafter(halfway, 0.0f)), sign | below) << fmt::format("{:#06x}", below);
            ASSERT_EQ(signed_rounded(std::nextafter(halfway, infinity)), sign | above) << fmt::format("{:#06x}", below);
        }
    }
}

TEST(Float16, WhatIsTooLargeBecomesInfinity) {
    EXPECT_EQ(rounded(65519.996f), 0x7bffu);
    EXPECT_EQ(rounded(65520.0f), 0x7c00u);
    EXPECT_EQ(rounded(1e10f), 0x7c00u);
    EXPECT_EQ(rounded(-std::numeric_limits<float>::max()), 0xfc00u);
    EXPECT_EQ(rounded(std::numeric_limits<float>::infinity()), 0x7c00u);
}

TEST(Float16, WhatIsTooSmallBecomesZeroOfItsSign) {
    EXPECT_EQ(rounded(0x1p-25f), 0u);
    EXPECT_EQ(rounded(-0x1.8p-26f), 0x8000u);
    EXPECT_EQ(rounded(std::numeric_limits<float>::min()), 0u);
    EXPECT_EQ(rounded(-std::numeric_limits<float>::denorm_min()), 0x8000u);
}

TEST(Float16, EqualityIsOfTheBits) {
    EXPECT_EQ(float16(1.5f), float16::from_bits(0x3e00));
    EXPECT_NE(float16(0.0f), float16(-0.0f));
    EXPECT_EQ(float16(std::numeric_limits<float>::quiet_NaN()), float16(std::numeric_limits<float>::quiet_NaN()));
}

}  // namespace
}  // namespace sepconv
