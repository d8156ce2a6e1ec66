// When the result of a layer in half precision counts as right.
//
// The layer's values are float16; they are exact in the reference. What is computed from them, v, is off by what its arithmetic errs, and
// is then rounded once. Rounding to float16 is monotonic, so that v within [low, high] is the same as a result between those two rounded:
// there is nothing to allow for the last rounding itself, nor for subnormal numbers or for infinity.
//
// float32_error and float16_error say how far the product, before the activation, may be off. The activation takes the error on, and is
// computed in float32, whose own error is within the same part of the largest result as elsewhere in these tests.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "closeness.h"
#include "reference.h"
#include "sepconv/float16.h"

namespace sepconv {

/// The error of a product that is accumulated in float32: for each value what a float32 layer may differ by.
inline std::vector<double> float32_error(const reference::Tensor &product) {
    return std::vector<double>(product.values.size(), allowed_difference(product.values));
}

/// The variance of a sum's rounding errors where it is accumulated in float16.
///
/// Every addition rounds the sum so far, s_k, by at most u |s_k|, u = 2^-11, or by 2^-25 below the normal numbers; and every product is
/// rounded where it is not fused with its addition. These errors are as good as independent, of mean 0 and, spread evenly over what they
/// may be, of a third of its square as variance (N. Higham and T. Mary, A new approach to probabilistic rounding error analysis, 2019).
/// The order of the n terms t knows nothing of their values. So s_k is the sum of k terms drawn from them: its mean is k/n of the whole
/// sum s, its variance at most k/n (1 - k/n) n/(n-1) of the sum of t^2, and the mean of s_k^2 over all k is at most
///
///     s^2 (n + 1)(2n + 1) / 6n^2 + (sum of t^2) (n + 1) / 6n.
///
/// Sums that are accumulated in parts, or partly in float32, err less. A bound that always holds, n u (sum of |t|), is ten times as wide.
inline double rounding_variance(double n, double sum, double sum_of_squares) {
    constexpr double u = 0x1p-11, least = 0x1p-25;
    const double partial = sum * sum * (n + 1) * (2 * n + 1) / (6 * n * n) + sum_of_squares * (n + 1) / (6 * n);
    return (u * u * (n * partial + sum_of_squares) + 2 * n * least * least) / 3;
}

/// The error of a product that is accumulated in float16, its depthwise stage too: ten standard deviations. The errors of the depthwise
/// stage go into the product as its values do. Six deviations are what one value in five hundred million passes by the rounding alone; but
/// the variance is a mean over all orders of the terms, and in the one order that is taken the partial sums may stay on one side, so that
/// the mean of their squares is some three times as large (found in one of fifty million values), which is a factor of 1.7.
/// @param weights, input  values of float16
inline std::vector<double> float16_error(const LayerConfig &config, const Weights &weights, const float *input, const Shape &shape) {
    constexpr double deviations = 10;
    const auto squares = [](const float *values, std::size_t count) {
        std::vector<float> squared(values, values + count);
        for (float &value : squared) value *= value;
        return squared;
    };
    const auto count = [](const Shape &s) { return static_cast<std::size_t>(s[0] * s[1] * s[2] * s[3]); };
    const std::vector<float> taps_squared = squares(weights.depthwise_kernel, count(weights.depthwise_shape));
    const std::vector<float> pointwise_squared = squares(weights.pointwise_kernel, count(weights.pointwise_shape));
    const std::vector<float> input_squared = squares(input, count(shape));
    Weights squared = weights;
    squared.depthwise_kernel = taps_squared.data();

    const reference::Tensor depthwise = reference::depthwise(config, weights, input, shape);
    const reference::Tensor depthwise_terms = reference::depthwise(config, squared, input_squared.data(), shape);
    const auto taps = static_cast<double>(config.kernel_size[0] * config.kernel_size[1]);
    std::vector<float> depthwise_squared(depthwise.values.size()), depthwise_variance(depthwise.values.size());
    for (std::size_t i = 0; i < depthwise.values.size(); i++) {
        depthwise_squared[i] = static_cast<float>(depthwise.values[i] * depthwise.values[i]);
        depthwise_variance[i] = static_cast<float>(rounding_variance(taps, depthwise.values[i], depthwise_terms.values[i]));
    }

    // The sums over the channels alone: a layer whose depthwise stage changes nothing.
    const std::int64_t channels = weights.pointwise_shape[2];
    LayerConfig sums;
    sums.filters = config.filters;
    sums.kernel_size = {1, 1};
    sums.data_format = config.data_format;
    sums.use_bias = false;
    const std::vector<float> ones(static_cast<std::size_t>(channels), 1.0F);
    const Weights sum_weights{ones.data(), {1, 1, channels, 1}, pointwise_squared.data(), weights.pointwise_shape};
    const reference::Tensor terms = reference::product(sums, sum_weights, depthwise_squared.data(), depthwise.shape);
    const reference::Tensor carried = reference::product(sums, sum_weights, depthwise_variance.data(), depthwise.shape);

    const reference::Tensor product = reference::product(config, weights, input, shape);
    const std::int64_t plane = product.shape[2] * product.shape[3];
    std::vector<double> error(product.values.size());
    for (std::size_t i = 0; i < error.size(); i++) {
        const auto at = static_cast<std::int64_t>(i);
        const std::int64_t filter = config.data_format == DataFormat::channels_last ? at % config.filters : at / plane % config.filters;
        const double bias = config.use_bias ? weights.bias[filter] : 0;
        const double variance =
            rounding_variance(static_cast<double>(channels) + 1, product.values[i], terms.values[i] + bias * bias) + carried.values[i];
        error[i] = deviations * std::sqrt(variance);
    }
    return error;
}

/// How far a value of an activation that works along an axis can move where no value that it reads moves by more than 1.
inline double largest_slope(const Activation &activation, double largest) {
    switch (activation.kind) {
        case ActivationKind::softmax:
            return 0.5;  // sum over j of |dy_i / dx_j| = 2 y_i (1 - y_i)
        case ActivationKind::log_softmax:
        case ActivationKind::sparsemax:
            return 2;  // x_i and the threshold under it, each by 1
        case ActivationKind::glu:
            return 1 + largest / 4;  // x sigmoid(z)
        default:
            return 0;
    }
}

/// Holds the values of a layer in half precision against those expected.
/// @param product  before the activation
/// @param error    of the product: float32_error or float16_error
inline testing::AssertionResult is_close(const std::vector<float16> &found, const reference::Tensor &expected,
                                         const reference::Tensor &product, const Activation &activation, const std::vector<double> &error) {
    if (found.size() != expected.values.size()) {
        return testing::AssertionFailure() << fmt::format("expected {} values, found {}", expected.values.size(), found.size());
    }
    const double slack = allowed_difference(expected.values);
    const bool elementwise = is_elementwise(activation.kind);
    double along_axis = 0;
    if (!elementwise && !error.empty()) {
        along_axis = largest_slope(activation, allowed_difference(product.values) / relative_tolerance) *
                     *std::max_element(error.begin(), error.end());
    }
    for (std::size_t i = 0; i < found.size(); i++) {
        double low = expected.values[i] - along_axis, high = expected.values[i] + along_axis;
        if (elementwise) {
            // Where the function turns between two of these, it goes beyond both by no more than it moves from one to the next.
            constexpr int steps = 16;
            double beyond = 0, before = reference::activated(product.values[i] - error[i], activation);
            for (int step = -steps; step <= steps; step++) {
                const double value = reference::activated(product.values[i] + error[i] * step / steps, activation);
                low = std::min(low, value);
                high = std::max(high, value);
                // A jump is no turn.
                if (std::abs(value - before) <= error[i]) beyond = std::max(beyond, std::abs(value - before));
                before = value;
            }
            low -= beyond;
            high += beyond;
        }
        const auto value = static_cast<float>(found[i]);
        if (std::isnan(expected.values[i]) ? std::isnan(value)
                                           : value >= static_cast<float>(float16(static_cast<float>(low - slack))) &&
                                                 value <= static_cast<float>(float16(static_cast<float>(high + slack)))) {
            continue;
        }
        const Shape &s = expected.shape;
        const auto at = static_cast<std::int64_t>(i);
        return testing::AssertionFailure() << fmt::format(
                   "at ({}, {}, {}, {}) of ({}, {}, {}, {}): expected {:.9g} (from {:.9g} to {:.9g}), found {:.9g}",
                   at / (s[1] * s[2] * s[3]), at / (s[2] * s[3]) % s[1], at / s[3] % s[2], at % s[3], s[0], s[1], s[2], s[3],
                   expected.values[i], low - slack, high + slack, value);
    }
    return testing::AssertionSuccess();
}

/// The same against the reference alone.
inline testing::AssertionResult is_close(const std::vector<float16> &found, const reference::Tensor &product, const Activation &activation,
                                         const std::vector<double> &error) {
    return is_close(found, reference::activated(product, activation), product, activation, error);
}

/// Bit for bit.
inline bool same_bits(const std::vector<float16> &a, const std::vector<float16> &b) { return a == b; }

}  // namespace sepconv
