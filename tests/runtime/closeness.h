// When a computed tensor counts as right: within 1e-5 of the largest value of the reference, and NaN and infinity where it has them.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "reference.h"

namespace sepconv {

constexpr double relative_tolerance = 1e-5;

inline double allowed_difference(const std::vector<double> &expected) {
    double largest = 0;
    for (const double value : expected) {
        if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
    }
    return relative_tolerance * (largest > 0 ? largest : 1);
}

inline bool is_close(double found, double expected, double allowed) {
    if (std::isnan(expected) || std::isinf(expected)) return std::isnan(expected) ? std::isnan(found) : found == expected;
    return std::abs(found - expected) <= allowed;
}

/// Holds values against the reference's product and the activation of it. Where the activation jumps, a value within the tolerance of
/// the jump may come out on either side. Where it takes most of the product away, as soft_shrink does, what the product's own rounding
/// leaves may be more than the tolerance of the little that remains.
inline testing::AssertionResult is_close(const std::vector<float> &found, const reference::Tensor &product, const Activation &activation) {
    const reference::Tensor expected = reference::activated(product, activation);
    if (found.size() != expected.values.size()) {
        return testing::AssertionFailure() << fmt::format("expected {} values, found {}", expected.values.size(), found.size());
    }
    const double allowed = allowed_difference(expected.values), slack = allowed_difference(product.values);
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const std::vector<double> jumps = reference::jumps(activation);
    const auto beside_a_jump = [&](double value, double product_value) {
        return std::any_of(jumps.begin(), jumps.end(), [&](double jump) {
            return std::abs(product_value - jump) <= slack &&
                   (is_close(value, reference::activated(std::nextafter(jump, -infinity), activation), allowed) ||
                    is_close(value, reference::activated(jump, activation), allowed) ||
                    is_close(value, reference::activated(std::nextafter(jump, infinity), activation), allowed));
        });
    };
    constexpr double ulps = 4;
    const double rounding = slack / relative_tolerance * ulps * std::numeric_limits<float>::epsilon() / 2;
    const auto within_rounding = [&](double value, double product_value) {
        if (!is_elementwise(activation.kind)) return false;
        const double a = reference::activated(product_value - rounding, activation),
                     b = reference::activated(product_value + rounding, activation);
        return value >= std::min(a, b) - allowed && value <= std::max(a, b) + allowed;
    };
    for (std::size_t i = 0; i < found.size(); i++) {
        if (is_close(found[i], expected.values[i], allowed) || beside_a_jump(found[i], product.values[i]) ||
            within_rounding(found[i], product.values[i])) {
            continue;
        }
        const Shape &s = expected.shape;
        const std::int64_t at = static_cast<std::int64_t>(i);
        return testing::AssertionFailure() << fmt::format("at ({}, {}, {}, {}) of ({}, {}, {}, {}): expected {:.9g}, found {:.9g}",
                                                          at / (s[1] * s[2] * s[3]), at / (s[2] * s[3]) % s[1], at / s[3] % s[2], at % s[3],
                                                          s[0], s[1], s[2], s[3], expected.values[i], found[i]);
    }
    return testing::AssertionSuccess();
}

/// Bit for bit, NaN included.
inline bool same_bits(const std::vector<float> &a, const std::vector<float> &b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

}  // namespace sepconv
