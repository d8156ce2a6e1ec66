// Newton's iteration for tau. The sum of the outputs is convex and falls with tau, so that from below every step stays below the root,
// and each but the last drops values from the support.
#include "sparsemax.h"

#include <cmath>
#include <limits>

namespace sepconv {

namespace {

// The largest value; NaN where there is one.
float largest(const float *input, std::int64_t length) {
    float largest = -std::numeric_limits<float>::infinity();
    for (std::int64_t i = 0; i < length; i++) {
        if (std::isnan(input[i])) return input[i];
        if (input[i] > largest) largest = input[i];
    }
    return largest;
}

// tau relative to the largest value; float64, in which differences of neighbouring floats are exact.
double threshold_below(double top, const float *input, std::int64_t length) {
    // The largest value alone would exceed the sum of 1 by any tau that is lower.
    double tau = -1;
    std::int64_t support = 0;
    while (true) {
        double sum = 0;
        std::int64_t above = 0;
        for (std::int64_t i = 0; i < length; i++) {
            const double value = input[i] - top;
            const bool inside = value > tau;
            sum += inside ? value : 0;
            above += inside;
        }
        // Equal supports give equal steps; a growing one is rounding at the very end.
        if (above == 0 || (support != 0 && above >= support)) return tau;
        support = above;
        tau = (sum - 1) / static_cast<double>(above);
    }
}

}  // namespace

void sparsemax(const float *input, float *output, std::int64_t length) {
    const double top = largest(input, length);
    if (!std::isfinite(top)) {
        for (std::int64_t i = 0; i < length; i++) {
            // Infinity minus infinity is NaN.
            output[i] = top > 0 ? input[i] + std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
        }
        return;
    }
    const double tau = threshold_below(top, input, length);
    for (std::int64_t i = 0; i < length; i++) {
        const double value = input[i] - top - tau;
        output[i] = value > 0 ? static_cast<float>(value) : 0.0f;
    }
}

}  // namespace sepconv
