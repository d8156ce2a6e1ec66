// Every compiled activation on every instruction set that this CPU runs: against formulas in float64 over the whole range of float32,
// against TensorFlow's stored answers, and in what it touches of memory.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <ostream>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "HalideRuntime.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "guarded.h"
#include "nlohmann/json.hpp"
#include "registry.h"
#include "sepconv/io.h"

namespace sepconv {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// One compiled activation.
struct Compiled {
    std::string kind, target;
    ActivatedFunction function;
};
std::ostream &operator<<(std::ostream &out, const Compiled &compiled) { return out << compiled.kind << " for " << compiled.target; }

bool along_rows(std::string_view kind) { return kind == "softmax" || kind == "log_softmax" || kind == "glu"; }

// Those of the registry that this CPU runs.
std::vector<Compiled> compiled(bool rows) {
    std::vector<Compiled> list;
    for (const Row &row : all_rows()) {
        if (row.stage != Stage::activated || along_rows(row.params.activation) != rows) continue;
        if (runs_here(*find_target(row.target))) list.push_back({row.params.activation, row.target, row.activated});
    }
    return list;
}

std::string test_name(const testing::TestParamInfo<Compiled> &info) { return info.param.kind + "_" + info.param.target; }

struct Parameters {
    float a = 0, b = 0, c = 0;
};

// Calls a function on rows that lie `stride` apart.
void call(const Compiled &compiled, const float *from, int from_length, int from_stride, float *to, int to_length, int to_stride, int rows,
          Parameters p = {}) {
    const auto describe = [rows](const float *host, halide_dimension_t(&dimensions)[2], int length, int stride) {
        dimensions[0] = halide_dimension_t(0, length, 1);
        dimensions[1] = halide_dimension_t(0, rows, stride);
        halide_buffer_t buffer = {};
        buffer.host = reinterpret_cast<std::uint8_t *>(const_cast<float *>(host));
        buffer.type = halide_type_t(halide_type_float, 32);
        buffer.dimensions = 2;
        buffer.dim = dimensions;
        return buffer;
    };
    halide_dimension_t from_dimensions[2], to_dimensions[2];
    halide_buffer_t input = describe(from, from_dimensions, from_length, from_stride);
    halide_buffer_t output = describe(to, to_dimensions, to_length, to_stride);
    ASSERT_EQ(compiled.function(&input, p.a, p.b, p.c, &output), 0);
}

// The whole of `input` as one row, elementwise, in place.
std::vector<float> results(const Compiled &compiled, std::vector<float> input, Parameters p = {}) {
    const int length = static_cast<int>(input.size());
    call(compiled, input.data(), length, length, input.data(), length, length, 1, p);
    return input;
}

// The tolerance that is promised: 2e-6 of the value, or 1e-6. What exceeds the largest float is infinity.
bool close(float found, double exact) {
    if (std::isnan(exact)) return std::isnan(found);
    const auto rounded = static_cast<float>(exact);
    if (std::isinf(rounded)) return found == rounded;
    // Next to the largest float the exact value may round to it and the found one to infinity, within the tolerance.
    const double value = std::isinf(found) ? std::copysign(std::ldexp(1.0, 128), found) : found;
    return std::abs(value - exact) <= std::max(1e-6, 2e-6 * std::abs(exact));
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

// A formula in float64, and the parameters to try it with.
struct Reference {
    std::function<double(double x, const Parameters &p)> formula;
    std::vector<Parameters> parameters = {{}};
};

double elu(double x, double alpha) { return x > 0 ? x : alpha * std::expm1(x); }

double relu(double x, double max_value, double slope, double threshold) {
    const double above = std::min(x > threshold ? x : 0.0, max_value);
    return std::max(above, 0.0) - (slope == 0 ? 0 : slope * std::max(threshold - x, 0.0));
}

double squareplus(double x, double b) {
    const double root = std::sqrt(x * x + b);
    return x < 0 ? b / 2 / (root - x) : (x + root) / 2;
}

double mish(double x) {
    if (x > 40) return x;
    const double w = std::exp(x);
    return x * w * (w + 2) / (w * (w + 2) + 2);
}

double gelu_approximate(double x) { return x * sigmoid(2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)); }

const std::map<std::string, Reference> &references() {
    using P = const Parameters &;
    static const std::map<std::string, Reference> table = {
        {"linear", {[](double x, P) { return x; }}},
        {"relu",
         {[](double x, P p) { return relu(x, p.a, p.b, p.c); },
          {{infinity, 0, 0}, {6, 0.125f, 0}, {infinity, 1.5f, 0}, {2.5f, 0.1f, 0.5f}, {infinity, 0, 0.75f}, {1, 2, 3}}}},
        {"relu6", {[](double x, P) { return std::clamp(x, 0.0, 6.0); }}},
        {"leaky_relu", {[](double x, P p) { return x > 0 ? x : p.a * x; }, {{0.2f}, {0.3f}, {2}}}},
        {"elu", {[](double x, P p) { return elu(x, p.a); }, {{1}, {0.1f}, {30}}}},
        {"selu", {[](double x, P) { return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717); }}},
        {"celu", {[](double x, P p) { return std::max(x, 0.0) + p.a * std::expm1(std::min(x, 0.0) / p.a); }, {{1}, {0.5f}, {30}, {-2}}}},
        {"softplus", {[](double x, P) { return softplus(x); }}},
        {"softsign", {[](double x, P) { return x / (1 + std::abs(x)); }}},
        {"squareplus", {[](double x, P p) { return squareplus(x, p.a); }, {{4}, {0.25f}, {1e-3f}, {1e6f}}}},
        {"soft_shrink", {[](double x, P p) { return x > p.a    ? x - p.a
                                                    : x < -p.a ? x + p.a
                                                               : 0; }, {{0.5f}, {0}, {1.25f}}}},
        {"hard_shrink", {[](double x, P p) { return std::abs(x) > p.a ? x : 0; }, {{0.5f}, {0}, {1.25f}}}},
        {"hard_tanh", {[](double x, P) { return std::clamp(x, -1.0, 1.0); }}},
        {"tanh_shrink", {[](double x, P) { return x - std::tanh(x); }}},
        {"threshold", {[](double x, P p) { return x > p.a ? x : p.b; }, {{0.5f, -2}, {-1, 0}}}},
        {"tanh", {[](double x, P) { return std::tanh(x); }}},
        {"sigmoid", {[](double x, P) { return sigmoid(x); }}},
        {"hard_sigmoid", {[](double x, P) { return std::clamp(x + 3, 0.0, 6.0) / 6; }}},
        {"hard_sigmoid_keras2", {[](double x, P) { return std::clamp(0.2 * x + 0.5, 0.0, 1.0); }}},
        {"sparse_plus", {[](double x, P) { return x <= -1 ? 0
                                                  : x < 1 ? (x + 1) * (x + 1) / 4
                                                          : x; }}},
        {"sparse_sigmoid", {[](double x, P) { return std::clamp((x + 1) / 2, 0.0, 1.0); }}},
        {"silu", {[](double x, P) { return x * sigmoid(x); }}},
        {"hard_silu", {[](double x, P) { return x * (std::clamp(x + 3, 0.0, 6.0) / 6); }}},
        {"gelu", {[](double x, P) { return x * std::erfc(-x / std::sqrt(2.0)) / 2; }}},
        {"gelu_approximate", {[](double x, P) { return gelu_approximate(x); }}},
        {"exponential", {[](double x, P) { return std::exp(x); }}},
        {"mish", {[](double x, P) { return mish(x); }}},
        {"log_sigmoid", {[](double x, P) { return -softplus(-x); }}},
    };
    return table;
}

// Every exponent with many fractions, and finely where the functions bend; both signs. All finite.
const std::vector<float> &sweep() {
    static const std::vector<float> values = [] {
        std::vector<float> list;
        std::mt19937 random(20240611);
        for (std::uint32_t exponent = 0; exponent < 255; exponent++) {
            const int fractions = exponent >= 118 && exponent <= 134 ? 4000 : 300;
            for (int i = 0; i < fractions; i++) {
                const std::uint32_t fraction = i == 0 ? 0 : i == 1 ? 0x7fffff : random() & 0x7fffff;
                for (const std::uint32_t sign : {0u, 0x80000000u}) list.push_back(std::bit_cast<float>(sign | exponent << 23 | fraction));
            }
        }
        return list;
    }();
    return values;
}

struct Golden {
    nlohmann::json index;
    std::map<std::string, Array> arrays;
};
const Golden &golden() {
    static const Golden stored = [] {
        std::ifstream file(SEPCONV_TEST_DATA "/golden/activations.json");
        return Golden{nlohmann::json::parse(file), read_npz(SEPCONV_TEST_DATA "/golden/activations.npz")};
    }();
    return stored;
}

float number(const nlohmann::json &value) { return value.is_string() ? infinity : value.get<float>(); }

std::vector<float> some_values(std::size_t count, unsigned seed = 5) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, 4);
    std::vector<float> values(count);
    std::generate(values.begin(), values.end(), [&] { return normal(random); });
    return values;
}

bool same_bits(float a, float b) { return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b); }

// Lengths on both sides of every number of lanes, and what lies between.
std::vector<int> lengths() {
    std::vector<int> list(70);
    for (int i = 0; i < 70; i++) list[i] = i + 1;
    list.push_back(1000);
    return list;
}

class Elementwise : public testing::TestWithParam<Compiled> {
protected:
    const Reference &reference() const { return references().at(GetParam().kind); }
    Parameters some_parameters() const { return reference().parameters.back(); }
};

TEST_P(Elementwise, IsWithinTheToleranceOverAllOfFloat) {
    for (const Parameters &p : reference().parameters) {
        const std::vector<float> found = results(GetParam(), sweep(), p);
        int wrong = 0;
        for (std::size_t i = 0; i < found.size() && wrong < 5; i++) {
            const double exact = reference().formula(sweep()[i], p);
            if (close(found[i], exact)) continue;
            wrong++;
            ADD_FAILURE() << "expected " << exact << " for " << sweep()[i] << ", found " << found[i] << " (a, b, c = " << p.a << ", " << p.b
                          << ", " << p.c << ")";
        }
    }
}

// Functions through zero whose small values are no differences of large ones: there the tolerance would forgive any error below 1e-6.
TEST_P(Elementwise, KeepsItsDigitsNearZero) {
    static const std::set<std::string> through_zero = {"elu",  "selu", "celu", "softsign",         "tanh_shrink",
                                                       "tanh", "silu", "gelu", "gelu_approximate", "mish"};
    if (!through_zero.contains(GetParam().kind)) return;
    std::vector<float> arguments = sweep();
    // Beyond these the cube of tanh_shrink underflows, and float64's own difference loses its digits.
    const float least = GetParam().kind == "tanh_shrink" ? 1e-2f : 1e-30f;
    std::erase_if(arguments, [least](float x) { return std::abs(x) < least || std::abs(x) > 2; });
    const Parameters p = reference().parameters.front();
    const std::vector<float> found = results(GetParam(), arguments, p);
    for (std::size_t i = 0; i < found.size(); i++) {
        const double exact = reference().formula(arguments[i], p);
        ASSERT_NEAR(found[i], exact, 2e-6 * std::abs(exact)) << "for " << arguments[i];
    }
}

TEST_P(Elementwise, GivesTheStoredAnswers) {
    const std::vector<float> &arguments = golden().arrays.at("input").values;
    int cases = 0;
    for (const nlohmann::json &entry : golden().index.at("elementwise")) {
        if (entry.at("kind") != GetParam().kind) continue;
        cases++;
        const std::string id = entry.at("id");
        const std::vector<float> &expected = golden().arrays.at(id + "/exact").values;
        const std::vector<float> found =
            results(GetParam(), arguments, {number(entry.at("a")), number(entry.at("b")), number(entry.at("c"))});
        for (std::size_t i = 0; i < found.size(); i++) {
            EXPECT_TRUE(close(found[i], expected[i]))
                << id << ": expected " << expected[i] << " for " << arguments[i] << ", found " << found[i];
        }
    }
    EXPECT_GT(cases, 0);
}

TEST_P(Elementwise, GivesEveryNaNTheSameAnswer) {
    const std::vector<float> expected = results(GetParam(), {std::numeric_limits<float>::quiet_NaN()}, some_parameters());
    for (const std::uint32_t bits : {0x7fc00001u, 0x7fffffffu, 0xffc00000u, 0xffffffffu, 0x7f800001u, 0xff800001u}) {
        const std::vector<float> found = results(GetParam(), {std::bit_cast<float>(bits)}, some_parameters());
        EXPECT_EQ(std::isnan(found[0]), std::isnan(expected[0])) << std::hex << bits;
    }
}

TEST_P(Elementwise, DoesNotDependOnThePlaceInTheRow) {
    const std::vector<float> values = some_values(70);
    const std::vector<float> whole = results(GetParam(), values, some_parameters());
    for (std::size_t first = 1; first < values.size(); first++) {
        const std::vector<float> part =
            results(GetParam(), {values.begin() + static_cast<std::ptrdiff_t>(first), values.end()}, some_parameters());
        for (std::size_t i = 0; i < part.size(); i++) {
            ASSERT_PRED2(same_bits, part[i], whole[first + i]) << "element " << i << " of a row of " << part.size();
        }
    }
}

TEST_P(Elementwise, LeavesTheInputAloneWhereTheOutputIsElsewhere) {
    const std::vector<float> input = some_values(333);
    std::vector<float> output(input.size());
    call(GetParam(), input.data(), 333, 333, output.data(), 333, 333, 1, some_parameters());
    EXPECT_EQ(input, some_values(333));
    EXPECT_EQ(output, results(GetParam(), input, some_parameters()));
}

TEST_P(Elementwise, TouchesNothingBesideItsRow) {
    for (const int length : lengths()) {
        const std::vector<float> values = some_values(length), expected = results(GetParam(), values, some_parameters());
        for (const Guard guard : {Guard::before, Guard::after}) {
            GuardedFloats row(length, guard);
            std::copy(values.begin(), values.end(), row.data());
            call(GetParam(), row.data(), length, length, row.data(), length, length, 1, some_parameters());
            EXPECT_TRUE(std::equal(expected.begin(), expected.end(), row.data())) << "a row of " << length;
        }
    }
}

TEST_P(Elementwise, LeavesWhatLiesBetweenItsRows) {
    const int rows = 3, length = 19, stride = 24;
    const std::vector<float> values = some_values(rows * stride);
    std::vector<float> expected = values, found = values;
    for (int row = 0; row < rows; row++) {
        const std::vector<float> part = results(GetParam(), {&values[row * stride], &values[row * stride] + length}, some_parameters());
        std::copy(part.begin(), part.end(), &expected[row * stride]);
    }
    call(GetParam(), found.data(), length, stride, found.data(), length, stride, rows, some_parameters());
    EXPECT_EQ(found, expected);
}

INSTANTIATE_TEST_SUITE_P(Activation, Elementwise, testing::ValuesIn(compiled(false)), test_name);

class AlongRows : public testing::TestWithParam<Compiled> {
protected:
    bool halves() const { return GetParam().kind == "glu"; }
    int output_length(int input_length) const { return halves() ? input_length / 2 : input_length; }

    // Dense rows to dense rows, elsewhere.
    std::vector<float> rows_of(const std::vector<float> &input, int length) const {
        const int rows = static_cast<int>(input.size()) / length, out = output_length(length);
        std::vector<float> output(static_cast<std::size_t>(rows) * out);
        call(GetParam(), input.data(), length, length, output.data(), out, out, rows);
        return output;
    }

    std::vector<double> exact(const std::vector<float> &row) const {
        std::vector<double> result;
        const double top = *std::max_element(row.begin(), row.end());
        double total = 0;
        for (const float x : row) total += std::exp(x - top);
        for (int i = 0; i < output_length(static_cast<int>(row.size())); i++) {
            if (halves()) {
                result.push_back(row[i] * sigmoid(row[row.size() / 2 + i]));
            } else {
                result.push_back(GetParam().kind == "softmax" ? std::exp(row[i] - top) / total : row[i] - top - std::log(total));
            }
        }
        return result;
    }
};

TEST_P(AlongRows, GivesTheStoredAnswers) {
    int cases = 0;
    for (const nlohmann::json &entry : golden().index.at("rows")) {
        if (entry.at("kind") != GetParam().kind) continue;
        for (const int length : entry.at("lengths")) {
            const std::string key = std::to_string(length);
            const std::vector<float> &input = golden().arrays.at("rows/" + key + "/input").values;
            const std::vector<float> &expected = golden().arrays.at(GetParam().kind + "/" + key + "/exact").values;
            const std::vector<float> found = rows_of(input, length);
            for (std::size_t i = 0; i < found.size(); i++) {
                EXPECT_TRUE(close(found[i], expected[i])) << "expected " << expected[i] << " at " << i % output_length(length) << " of row "
                                                          << i / output_length(length) << ", found " << found[i];
            }
            cases++;
        }
    }
    EXPECT_GT(cases, 0);
}

TEST_P(AlongRows, IsWithinTheToleranceForEveryLength) {
    for (int length : lengths()) {
        if (halves()) length *= 2;
        const std::vector<float> row = some_values(length, length), found = rows_of(row, length);
        const std::vector<double> expected = exact(row);
        for (std::size_t i = 0; i < found.size(); i++) {
            ASSERT_TRUE(close(found[i], expected[i]))
                << "expected " << expected[i] << " at " << i << " of " << length << ", found " << found[i];
        }
    }
}

TEST_P(AlongRows, IsWithinTheToleranceForManySmallTermsBesideALargeOne) {
    // In float32 each small term would be rounded by the sum that it is added to, always in the same direction.
    std::vector<float> row(100000, -11.5f);
    row[0] = 0;
    const std::vector<float> found = rows_of(row, static_cast<int>(row.size()));
    EXPECT_TRUE(close(found[0], exact(row)[0])) << "expected " << exact(row)[0] << ", found " << found[0];
}

TEST_P(AlongRows, TakesEachRowByItself) {
    const int rows = 5, length = 38;
    const std::vector<float> values = some_values(rows * length), found = rows_of(values, length);
    for (int row = 0; row < rows; row++) {
        const std::vector<float> alone = rows_of({&values[row * length], &values[row * length] + length}, length);
        EXPECT_TRUE(std::equal(alone.begin(), alone.end(), &found[row * output_length(length)])) << "row " << row;
    }
}

TEST_P(AlongRows, TouchesNothingBesideItsRow) {
    for (int length : lengths()) {
        if (halves()) length *= 2;
        const int out = output_length(length);
        const std::vector<float> values = some_values(length), expected = rows_of(values, length);
        for (const Guard guard : {Guard::before, Guard::after}) {
            GuardedFloats input(length, guard), output(out, guard);
            std::copy(values.begin(), values.end(), input.data());
            call(GetParam(), input.data(), length, length, output.data(), out, out, 1);
            EXPECT_TRUE(std::equal(expected.begin(), expected.end(), output.data())) << "a row of " << length;
        }
    }
}

TEST_P(AlongRows, LeavesWhatLiesBetweenItsRows) {
    const int rows = 3, length = 22, stride = 31, out = output_length(length), out_stride = 27;
    const std::vector<float> values = some_values(rows * stride);
    std::vector<float> expected(rows * out_stride, -1), found(rows * out_stride, -1);
    for (int row = 0; row < rows; row++) {
        const std::vector<float> part = rows_of({&values[row * stride], &values[row * stride] + length}, length);
        std::copy(part.begin(), part.end(), &expected[row * out_stride]);
    }
    call(GetParam(), values.data(), length, stride, found.data(), out, out_stride, rows);
    EXPECT_EQ(found, expected);
}

TEST_P(AlongRows, GivesTheSameInPlace) {
    if (halves()) return;  // its output has another shape
    const int rows = 4, stride = 1000;
    for (const int length : lengths()) {
        const std::vector<float> values = some_values(rows * stride);
        std::vector<float> expected = values, found = values;
        call(GetParam(), values.data(), length, stride, expected.data(), length, stride, rows);
        call(GetParam(), found.data(), length, stride, found.data(), length, stride, rows);
        EXPECT_EQ(found, expected) << "rows of " << length;
    }
}

INSTANTIATE_TEST_SUITE_P(Activation, AlongRows, testing::ValuesIn(compiled(true)), test_name);

}  // namespace
}  // namespace sepconv
