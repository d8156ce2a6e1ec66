// How a computed tensor is held against an expected one: NaN and infinities by kind and place, all else within a part of the largest
// expected value.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sepconv/config.h"

namespace sepconv::golden {

// The project's bound on the difference from TensorFlow, relative to the largest absolute value expected in the tensor.
constexpr double tolerance = 1e-5;

// "(0, 3, 4, 1)" for the position of a flat index.
inline std::string position(std::size_t index, const std::vector<std::int64_t> &shape) {
    std::vector<std::int64_t> place(shape.size());
    for (std::size_t d = shape.size(); d-- > 0;) {
        place[d] = std::int64_t(index) % shape[d];
        index /= std::size_t(shape[d]);
    }
    return fmt::format("({})", fmt::join(place, ", "));
}

// A result in float16 is rounded once more, by at most half a unit in the last of its 11 bits, or of 2^-24.
inline double rounding(double value, Dtype dtype) { return dtype == Dtype::float16 ? std::max(std::abs(value) * 0x1p-11, 0x1p-25) : 0; }

inline testing::AssertionResult matches(const std::vector<float> &found, const std::vector<float> &expected,
                                        const std::vector<std::int64_t> &shape, Dtype dtype = Dtype::float32) {
    if (found.size() != expected.size()) {
        return testing::AssertionFailure() << fmt::format("expected {} values, found {}", expected.size(), found.size());
    }
    double largest = 0;
    for (float value : expected) {
        if (std::isfinite(value)) largest = std::max(largest, std::abs(double(value)));
    }
    // A tensor of zeros is held to the absolute bound.
    const double allowed = tolerance * (largest > 0 ? largest : 1);
    std::size_t wrong = 0, first = 0, worst = 0;
    double worst_difference = -1;
    for (std::size_t i = 0; i < expected.size(); i++) {
        const bool both_nan = std::isnan(expected[i]) && std::isnan(found[i]);
        if (both_nan || found[i] == expected[i]) continue;
        double difference = std::abs(double(found[i]) - double(expected[i]));
        if (!std::isfinite(difference)) difference = INFINITY;
        if (difference > worst_difference) {
            worst_difference = difference;
            worst = i;
        }
        if (difference > allowed + rounding(expected[i], dtype) && wrong++ == 0) first = i;
    }
    if (wrong == 0) return testing::AssertionSuccess();
    return testing::AssertionFailure() << fmt::format(
               "{} of {} values differ by more than {:.3g} (largest expected {:.6g}); first at {}: expected {:.9g}, found {:.9g}; "
               "worst at {}: expected {:.9g}, found {:.9g}",
               wrong, expected.size(), allowed, largest, position(first, shape), expected[first], found[first], position(worst, shape),
               expected[worst], found[worst]);
}

}  // namespace sepconv::golden
