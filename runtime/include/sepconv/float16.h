// float16: IEEE 754's binary16 as a type that holds a number and converts it; it does not compute.
#pragma once

#include <bit>
#include <cstdint>

namespace sepconv {

/// A half-precision number: a sign, 5 bits of exponent, 10 of fraction. From 2^-24 to 65504, with 11 significant bits from 2^-14 on.
struct float16 {
    std::uint16_t bits = 0;

    float16() = default;

    /// Rounds to nearest, ties to even, whatever the rounding mode: to infinity from 65520 on, to zero up to 2^-25. NaN becomes a quiet
    /// NaN with its sign and the upper bits of its payload.
    explicit constexpr float16(float value) {
        const auto word = std::bit_cast<std::uint32_t>(value);
        const std::uint32_t sign = word >> 16 & 0x8000u, magnitude = word & 0x7fffffffu;
        constexpr std::uint32_t infinity = 0x7f800000u;
        constexpr std::uint32_t overflow = 0x477ff000u;  // 65520, halfway from the largest number to 2^16
        constexpr std::uint32_t normal = 0x38800000u;    // 2^-14
        std::uint32_t result = 0;
        if (magnitude > infinity) {
            result = 0x7e00u | (magnitude >> 13 & 0x3ffu);
        } else if (magnitude >= overflow) {
            result = 0x7c00u;
        } else if (magnitude >= normal) {
            // From bias 127 to bias 15. A carry out of the fraction is one more in the exponent, as it should be.
            result = shifted(magnitude - (112u << 23), 13);
        } else {
            // In units of 2^-24, the smallest number.
            const std::uint32_t exponent = magnitude >> 23;
            result = exponent < 102 ? 0 : shifted((magnitude & 0x7fffffu) | 0x800000u, 126 - exponent);
        }
        bits = static_cast<std::uint16_t>(sign | result);
    }

    /// The same number; a NaN becomes quiet.
    explicit constexpr operator float() const {
        const std::uint32_t sign = std::uint32_t(bits & 0x8000u) << 16;
        const std::uint32_t exponent = bits >> 10 & 0x1fu, fraction = bits & 0x3ffu;
        if (exponent == 0) {
            const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
            return sign != 0 ? -magnitude : magnitude;
        }
        // Exponent 31 is infinity or NaN and becomes 255; the others move from bias 15 to bias 127.
        const std::uint32_t widened = exponent == 31 ? 255u : exponent + 112u;
        const std::uint32_t quiet = exponent == 31 && fraction != 0 ? 0x400000u : 0u;
        return std::bit_cast<float>(sign | widened << 23 | quiet | fraction << 13);
    }

    static constexpr float16 from_bits(std::uint16_t bits) {
        float16 value;
        value.bits = bits;
        return value;
    }

    /// Of the bits: a NaN equals itself, and 0 is not -0.
    bool operator==(const float16 &) const = default;

private:
    // number / 2^places, to nearest, ties to even.
    static constexpr std::uint32_t shifted(std::uint32_t number, std::uint32_t places) {
        return (number + (1u << (places - 1)) - 1 + (number >> places & 1u)) >> places;
    }
};

static_assert(sizeof(float16) == 2);

}  // namespace sepconv
