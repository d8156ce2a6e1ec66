// The layer's definition, loop by loop. Nothing here is shared with the library but the rule of padding, which has tests of its own.
#include "reference.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace sepconv::reference {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// Where (n, row, column, channel) lies in a dense tensor of either format.
struct Index {
    DataFormat format;
    Shape shape;
    std::int64_t batch() const { return shape[0]; }
    std::int64_t channels() const { return format == DataFormat::channels_first ? shape[1] : shape[3]; }
    std::int64_t rows() const { return format == DataFormat::channels_first ? shape[2] : shape[1]; }
    std::int64_t columns() const { return format == DataFormat::channels_first ? shape[3] : shape[2]; }
    std::size_t operator()(std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c) const {
        return static_cast<std::size_t>(format == DataFormat::channels_first ? ((n * shape[1] + c) * shape[2] + y) * shape[3] + x
                                                                             : ((n * shape[1] + y) * shape[2] + x) * shape[3] + c);
    }
};

Shape ordered(DataFormat format, std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c) {
    return format == DataFormat::channels_first ? Shape{n, c, y, x} : Shape{n, y, x, c};
}

std::size_t count(const Shape &shape) { return static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]); }

// max and min that keep a NaN, whichever operand it is.
double larger(double a, double b) { return std::isnan(a) || std::isnan(b) ? nan : std::max(a, b); }
double smaller(double a, double b) { return std::isnan(a) || std::isnan(b) ? nan : std::min(a, b); }
double clip(double x, double low, double high) { return smaller(larger(x, low), high); }

double sigmoid(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }
double log_sigmoid(double x) { return smaller(x, 0) - std::log1p(std::exp(-std::abs(x))); }
double softplus(double x) { return larger(x, 0) + std::log1p(std::exp(-std::abs(x))); }

double relu(double x, double max_value, double negative_slope, double threshold) {
    // TensorFlow has a function of its own for a threshold of zero, which keeps a NaN; the comparison drops it.
    double y = threshold == 0 ? larger(x, 0) : x > threshold ? x : 0;
    y = clip(y, 0, max_value);
    return negative_slope == 0 ? y : y - negative_slope * larger(threshold - x, 0);
}

double tanh_shrink(double x) {
    if (std::abs(x) > 1e-3) return x - std::tanh(x);
    return x * x * x * (1.0 / 3 - x * x * (2.0 / 15));  // where the difference would cancel
}

double squareplus(double x, double b) {
    const double root = std::sqrt(x * x + b);
    return x < 0 && std::isfinite(x) ? b / 2 / (root - x) : (x + root) / 2;
}

void softmax(std::vector<double> &line) {
    const double top = std::accumulate(line.begin(), line.end(), -infinity, larger);
    double total = 0;
    for (double &value : line) total += value = std::exp(value - top);
    for (double &value : line) value /= total;
}

void log_softmax(std::vector<double> &line) {
    const double top = std::accumulate(line.begin(), line.end(), -infinity, larger);
    double total = 0;
    for (const double value : line) total += std::exp(value - top);
    for (double &value : line) value = value - top - std::log(total);
}

// The Euclidean projection onto the simplex (Martins and Astudillo, 2016, algorithm 1).
void sparsemax(std::vector<double> &line) {
    std::vector<double> falling = line;
    std::sort(falling.begin(), falling.end(), std::greater<>());
    double sum = 0, threshold = 0;
    for (std::size_t k = 0; k < falling.size(); k++) {
        sum += falling[k];
        const double n = static_cast<double>(k + 1);
        if (1 + n * falling[k] > sum) threshold = (sum - 1) / n;
    }
    for (double &value : line) value = larger(value - threshold, 0);
}

void glu(std::vector<double> &line) {
    const std::size_t half = line.size() / 2;
    for (std::size_t i = 0; i < half; i++) line[i] *= sigmoid(line[half + i]);
    line.resize(half);
}

}  // namespace

Tensor depthwise(const LayerConfig &config, const Weights &weights, const float *input, const Shape &shape) {
    const DataFormat format = config.data_format;
    const Index in{format, shape};
    const auto [kernel_height, kernel_width, channels, multiplier] = weights.depthwise_shape;
    const auto [stride_y, stride_x] = config.strides;
    const auto [dilation_y, dilation_x] = config.dilation_rate;
    const WindowFit rows = fit_window(in.rows(), kernel_height, stride_y, dilation_y, config.padding);
    const WindowFit columns = fit_window(in.columns(), kernel_width, stride_x, dilation_x, config.padding);
    Tensor result{ordered(format, in.batch(), rows.output, columns.output, channels * multiplier), {}};
    result.values.resize(count(result.shape));
    const Index out{format, result.shape};
    for (std::int64_t n = 0; n < in.batch(); n++) {
        for (std::int64_t y = 0; y < rows.output; y++) {
            for (std::int64_t x = 0; x < columns.output; x++) {
                for (std::int64_t i = 0; i < kernel_height; i++) {
                    const std::int64_t from_y = y * stride_y + i * dilation_y - rows.before;
                    if (from_y < 0 || from_y >= in.rows()) continue;
                    for (std::int64_t j = 0; j < kernel_width; j++) {
                        const std::int64_t from_x = x * stride_x + j * dilation_x - columns.before;
                        if (from_x < 0 || from_x >= in.columns()) continue;
                        const float *taps = weights.depthwise_kernel + (i * kernel_width + j) * channels * multiplier;
                        for (std::int64_t c = 0; c < channels; c++) {
                            const double value = input[in(n, from_y, from_x, c)];
                            for (std::int64_t m = 0; m < multiplier; m++) {
                                result.values[out(n, y, x, c * multiplier + m)] += value * taps[c * multiplier + m];
                            }
                        }
                    }
                }
            }
        }
    }
    return result;
}

Tensor product(const LayerConfig &config, const Weights &weights, const float *input, const Shape &shape) {
    const Tensor from = depthwise(config, weights, input, shape);
    const Index in{config.data_format, from.shape};
    const std::int64_t filters = weights.pointwise_shape[3];
    Tensor result{ordered(config.data_format, in.batch(), in.rows(), in.columns(), filters), {}};
    result.values.resize(count(result.shape));
    const Index out{config.data_format, result.shape};
    std::vector<double> sums(static_cast<std::size_t>(filters));
    for (std::int64_t n = 0; n < in.batch(); n++) {
        for (std::int64_t y = 0; y < in.rows(); y++) {
            for (std::int64_t x = 0; x < in.columns(); x++) {
                for (std::int64_t f = 0; f < filters; f++) sums[f] = weights.bias != nullptr ? weights.bias[f] : 0;
                for (std::int64_t q = 0; q < in.channels(); q++) {
                    const double value = from.values[in(n, y, x, q)];
                    for (std::int64_t f = 0; f < filters; f++) sums[f] += value * weights.pointwise_kernel[q * filters + f];
                }
                for (std::int64_t f = 0; f < filters; f++) result.values[out(n, y, x, f)] = sums[f];
            }
        }
    }
    return result;
}

double activated(double x, const Activation &activation) {
    const double a = activation.a, b = activation.b, c = activation.c;
    const double pi = std::acos(-1.0);
    switch (activation.kind) {
        case ActivationKind::linear:
            return x;
        case ActivationKind::relu:
            return relu(x, a, b, c);
        case ActivationKind::relu6:
            return clip(x, 0, 6);
        case ActivationKind::leaky_relu:
            return x > 0 ? x : a * x;
        case ActivationKind::elu:
            return x < 0 ? a * std::expm1(x) : x;
        case ActivationKind::selu:
            return 1.05070098735548049342 * (x < 0 ? 1.67326324235437728481 * std::expm1(x) : x);
        case ActivationKind::celu:
            return larger(x, 0) + a * std::expm1(smaller(x, 0) / a);
        case ActivationKind::softplus:
            return softplus(x);
        case ActivationKind::softsign:
            return x / (1 + std::abs(x));
        case ActivationKind::squareplus:
            return squareplus(x, a);
        case ActivationKind::soft_shrink:
            return x > a ? x - a : x < -a ? x + a : 0;
        case ActivationKind::hard_shrink:
            return std::abs(x) > a ? x : 0;
        case ActivationKind::hard_tanh:
            return clip(x, -1, 1);
        case ActivationKind::tanh_shrink:
            return tanh_shrink(x);
        case ActivationKind::threshold:
            return x > a ? x : b;
        case ActivationKind::tanh:
            return std::tanh(x);
        case ActivationKind::sigmoid:
            return sigmoid(x);
        case ActivationKind::hard_sigmoid:
            return clip(x + 3, 0, 6) / 6;
        case ActivationKind::hard_sigmoid_keras2:
            return clip(0.2 * x + 0.5, 0, 1);
        case ActivationKind::sparse_plus:
            return x <= -1 ? 0 : x < 1 ? (x + 1) * (x + 1) / 4 : x;
        case ActivationKind::sparse_sigmoid:
            return clip((x + 1) / 2, 0, 1);
        case ActivationKind::silu:
            return x * sigmoid(x);
        case ActivationKind::hard_silu:
            return x * (clip(x + 3, 0, 6) / 6);
        case ActivationKind::gelu:
            return x * std::erfc(-x / std::sqrt(2.0)) / 2;
        case ActivationKind::gelu_approximate:
            return x * sigmoid(2 * std::sqrt(2 / pi) * (x + 0.044715 * x * x * x));
        case ActivationKind::exponential:
            return std::exp(x);
        case ActivationKind::mish:
            return x * std::tanh(softplus(x));
        case ActivationKind::log_sigmoid:
            return log_sigmoid(x);
        case ActivationKind::softmax:
        case ActivationKind::log_softmax:
        case ActivationKind::sparsemax:
        case ActivationKind::glu:
            break;
    }
    throw std::invalid_argument("expected an elementwise activation");
}

Tensor activated(const Tensor &tensor, const Activation &activation) {
    Tensor result = tensor;
    if (is_elementwise(activation.kind)) {
        for (double &value : result.values) value = activated(value, activation);
        return result;
    }
    std::array<bool, 4> along = {};
    for (const int axis : activation.axes) along[axis < 0 ? axis + 4 : axis] = true;
    if (activation.kind == ActivationKind::glu) {
        for (int i = 0; i < 4; i++) result.shape[i] /= along[i] ? 2 : 1;
        result.values.resize(count(result.shape));
    }
    // Each line along the axes, by the position of its first element.
    const auto offset_of = [](const Shape &at, const Shape &shape) {
        return static_cast<std::size_t>(((at[0] * shape[1] + at[1]) * shape[2] + at[2]) * shape[3] + at[3]);
    };
    const auto visit = [&](const Shape &shape, bool reduced, const Shape &from, const auto &at_each) {
        Shape end;
        for (int i = 0; i < 4; i++) end[i] = along[i] == reduced ? shape[i] : from[i] + 1;
        for (Shape at = from; at[0] < end[0]; at[0]++) {
            for (at[1] = from[1]; at[1] < end[1]; at[1]++) {
                for (at[2] = from[2]; at[2] < end[2]; at[2]++) {
                    for (at[3] = from[3]; at[3] < end[3]; at[3]++) at_each(at);
                }
            }
        }
    };
    visit(tensor.shape, false, {}, [&](const Shape &start) {
        std::vector<double> line;
        visit(tensor.shape, true, start, [&](const Shape &at) { line.push_back(tensor.values[offset_of(at, tensor.shape)]); });
        switch (activation.kind) {
            case ActivationKind::softmax:
                softmax(line);
                break;
            case ActivationKind::log_softmax:
                log_softmax(line);
                break;
            case ActivationKind::sparsemax:
                sparsemax(line);
                break;
            default:
                glu(line);
                break;
        }
        std::size_t next = 0;
        visit(result.shape, true, start, [&](const Shape &at) { result.values[offset_of(at, result.shape)] = line[next++]; });
    });
    return result;
}

std::vector<double> jumps(const Activation &activation) {
    switch (activation.kind) {
        case ActivationKind::hard_shrink:
            return {-activation.a, activation.a};
        case ActivationKind::threshold:
            return {activation.a};
        case ActivationKind::relu:
            return {activation.a, activation.c};
        default:
            return {};
    }
}

}  // namespace sepconv::reference
