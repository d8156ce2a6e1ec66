// softmax, log_softmax, sparsemax and glu along dimensions that only the call names: run by OpenCL and by Vulkan, against the reference
// and against TensorFlow's stored answers.
#include <array>
#include <cmath>
#include <map>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "fused_layer.h"
#include "open_tensor.h"
#include "reference.h"
#include "sepconv/io.h"

namespace sepconv {
namespace {

using Flags = std::array<int, 4>;

class Axes : public testing::TestWithParam<OpenFunctions> {
public:
    static gpu::Device &device() { return GetParam().device(); }

    static bool halves() { return GetParam().kind == "glu"; }

    // Every choice of dimensions that a layer may have.
    static std::vector<Flags> choices() {
        std::vector<Flags> list;
        for (int set = 1; set < 16; set++) {
            const Flags flags = {set & 1, set >> 1 & 1, set >> 2 & 1, set >> 3 & 1};
            if (GetParam().kind == "softmax" || flags[0] + flags[1] + flags[2] + flags[3] == 1) list.push_back(flags);
        }
        return list;
    }

    static Activation activation(const Flags &flags) {
        Activation result = default_activation(activation_kind(GetParam().kind));
        result.axes.clear();
        for (int d = 0; d < 4; d++) {
            if (flags[d] != 0) result.axes.push_back(-1 - d);
        }
        return result;
    }

    template <typename Word>
    static void call(const Flags &flags, OpenTensor<float> &input, OpenTensor<Word> &output) {
        gpu::GpuCall call{&device(), {}, {}, 0, {}};
        GetParam().row<Word>()->axes(&call, input.on_device(), flags[0], flags[1], flags[2], flags[3], output.on_device());
        ASSERT_NO_THROW(call.check());
        output.from_device();
        output.expect_canaries_between();
    }

    template <typename Word>
    static void run(const std::vector<std::int64_t> &extents, const Flags &flags, Strides strides, float spread = 3) {
        std::vector<std::int64_t> from = extents;
        for (int d = 0; d < 4; d++) from[d] *= halves() && flags[d] != 0 ? 2 : 1;
        OpenTensor<float> input(device(), from, strides);
        OpenTensor<Word> output(device(), extents, strides);
        std::mt19937 random(11);
        std::normal_distribution<float> normal(1, spread);
        reference::Tensor tensor = {{from[3], from[2], from[1], from[0]}, {}};
        for (std::int64_t i = 0; i < input.count(); i++) tensor.values.push_back(input.element(i) = normal(random));
        call(flags, input, output);
        if (HasFatalFailure()) return;
        const reference::Tensor expected = reference::activated(tensor, activation(flags));
        for (std::int64_t i = 0; i < output.count(); i++) {
            const double value = expected.values[static_cast<std::size_t>(i)];
            ASSERT_NEAR(number(output.element(i)), value, std::max(1e-6, 2e-6 * std::abs(value)) + rounding<Word>(value)) << "at " << i;
        }
    }

    template <typename Word>
    static void run_all() {
        const std::vector<std::vector<std::int64_t>> shapes = {{1, 5, 3, 2},   {7, 4, 3, 2},    {40, 3, 5, 2}, {1000, 2, 3, 2},
                                                               {31, 70, 1, 3}, {32, 1, 1, 200}, {1, 1, 1, 1}};
        for (const std::vector<std::int64_t> &shape : shapes) {
            for (const Flags &flags : choices()) {
                for (const Strides strides : all_strides) {
                    SCOPED_TRACE(testing::Message() << shape[0] << " x " << shape[1] << " x " << shape[2] << " x " << shape[3] << " along "
                                                    << flags[0] << flags[1] << flags[2] << flags[3] << ", strides " << int(strides));
                    run<Word>(shape, flags, strides);
                    if (HasFatalFailure()) return;
                }
            }
        }
    }
};

TEST_P(Axes, TakesAnEmptyOutput) {
    run<float>({7, 4, 3, 0}, {1, 0, 0, 0}, Strides::dense);
    run<float>({70, 4, 3, 0}, {1, 0, 0, 0}, Strides::dense);
    run<float>({70, 4, 3, 0}, {0, 1, 0, 0}, Strides::dense);
}

TEST_P(Axes, EqualsTheReference) { run_all<float>(); }
TEST_P(Axes, EqualsTheReferenceInHalfPrecision) {
    if (GetParam().float16 == nullptr) GTEST_SKIP() << "this API has no functions in half precision";
    run_all<std::uint16_t>();
}

TEST_P(Axes, IsAsExactOnLongLinesOfNearValues) {
    // Mesa's Vulkan in software ends the loops of a thread after 65535 turns, counted together (docs/gpu.md).
    const std::int64_t length = device().name().starts_with("llvmpipe") ? 2000 : 50000;
    for (const float spread : {1e-4f, 0.03f}) {
        run<float>({length, 2, 1, 1}, {1, 0, 0, 0}, Strides::dense, spread);
        run<float>({2, length, 1, 1}, {0, 1, 0, 0}, Strides::dense, spread);
    }
}

// Infinities and NaN among them. Along d0, and as columns of another dimension.
TEST_P(Axes, GivesTheStoredAnswers) {
    const std::map<std::string, Array> golden = read_npz(SEPCONV_TEST_DATA "/golden/activations.npz");
    const std::string prefix = GetParam().kind + "/";
    int lines = 0;
    for (const auto &[name, exact] : golden) {
        if (!name.starts_with(prefix) || !name.ends_with("/exact")) continue;
        const Array &from = golden.at("rows/" + name.substr(prefix.size(), name.size() - prefix.size() - 6) + "/input");
        const std::int64_t rows = from.shape.at(0), length = from.shape.at(1), result_length = halves() ? length / 2 : length;
        for (const bool columns : {false, true}) {
            OpenTensor<float> input(device(),
                                    columns ? std::vector{rows, length, std::int64_t(1), std::int64_t(1)}
                                            : std::vector{length, rows, std::int64_t(1), std::int64_t(1)},
                                    Strides::dense);
            OpenTensor<float> output(device(),
                                     columns ? std::vector{rows, result_length, std::int64_t(1), std::int64_t(1)}
                                             : std::vector{result_length, rows, std::int64_t(1), std::int64_t(1)},
                                     Strides::dense);
            for (std::int64_t row = 0; row < rows; row++) {
                for (std::int64_t i = 0; i < length; i++) {
                    input.element(columns ? i * rows + row : row * length + i) = from.values[static_cast<std::size_t>(row * length + i)];
                }
            }
            ASSERT_NO_FATAL_FAILURE(call(columns ? Flags{0, 1, 0, 0} : Flags{1, 0, 0, 0}, input, output));
            for (std::int64_t row = 0; row < rows; row++) {
                const float *line = from.values.data() + row * length;
                // What TensorFlow's sort makes of a NaN is chance.
                if (GetParam().kind == "sparsemax" && std::any_of(line, line + length, [](float x) { return std::isnan(x); })) continue;
                for (std::int64_t i = 0; i < result_length; i++) {
                    const float found = output.element(columns ? i * rows + row : row * result_length + i);
                    const float expected = exact.values[static_cast<std::size_t>(row * result_length + i)];
                    const bool close = std::isnan(expected)   ? std::isnan(found)
                                       : std::isinf(expected) ? found == expected
                                                              : std::abs(found - expected) <= std::max(1e-6f, 2e-6f * std::abs(expected));
                    EXPECT_TRUE(close) << "expected " << expected << " at " << i << " of line " << row << " of " << length << ", found "
                                       << found;
                }
                lines++;
            }
        }
    }
    EXPECT_GT(lines, 100);
}

INSTANTIATE_TEST_SUITE_P(Activations, Axes, testing::ValuesIn(open_functions(gpu::Stage::gpu_axes)),
                         [](const auto &info) { return info.param.test_name(); });

}  // namespace
}  // namespace sepconv
