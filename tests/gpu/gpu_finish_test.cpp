// The function that finishes a product whose slices were computed apart, for every elementwise activation: run by OpenCL and by Vulkan,
// against the reference and against TensorFlow's stored answers.
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "fused_layer.h"
#include "nlohmann/json.hpp"
#include "open_tensor.h"
#include "reference.h"
#include "sepconv/io.h"

namespace sepconv {
namespace {

class Finish : public testing::TestWithParam<OpenFunctions> {
public:
    static gpu::Device &device() { return GetParam().device(); }

    template <typename Word>
    static void call(OpenTensor<float> &partial, OpenTensor<float> &bias, float a, float b, float c, OpenTensor<Word> &output) {
        gpu::GpuCall call{&device(), {}, {}, 0, {}};
        GetParam().row<Word>()->finish(&call, partial.on_device(), bias.on_device(), a, b, c, output.on_device());
        ASSERT_NO_THROW(call.check());
        output.from_device();
    }

    // Random slices, held against the reference; the filters along d0 and, in the reversed order, along d2.
    template <typename Word>
    static void run(std::vector<std::int64_t> extents, std::int64_t slices, Strides strides) {
        const Activation activation = default_activation(activation_kind(GetParam().kind));
        OpenTensor<Word> output(device(), extents, strides);
        OpenTensor<float> bias(device(), extents, strides);
        const bool planes = strides == Strides::reversed;
        bias.repeat({planes, true, !planes, true});
        extents.push_back(slices);
        OpenTensor<float> partial(device(), extents, strides);
        std::mt19937 random(7);
        const float most = 3 / std::sqrt(static_cast<float>(slices + 1));  // so that no exponential leaves the range of float16
        std::uniform_real_distribution<float> uniform(-most, most);
        for (std::int64_t i = 0; i < bias.count(); i++) bias.element(i) = uniform(random);
        for (std::int64_t i = 0; i < partial.count(); i++) partial.element(i) = uniform(random);
        ASSERT_NO_FATAL_FAILURE(call(partial, bias, activation.a, activation.b, activation.c, output));
        output.expect_canaries_between();
        for (std::int64_t i = 0; i < output.count(); i++) {
            double sum = bias.element(i);
            for (std::int64_t slice = 0; slice < slices; slice++) sum += partial.element(slice * output.count() + i);
            bool at_jump = false;
            for (const double jump : reference::jumps(activation)) at_jump = at_jump || std::abs(sum - jump) < 1e-4;
            if (at_jump) continue;
            const double expected = reference::activated(sum, activation), tolerance = 2e-5 * std::max(1.0, std::abs(expected));
            ASSERT_NEAR(number(output.element(i)), expected, tolerance + rounding<Word>(expected)) << "at " << i << " for " << sum;
        }
    }

    template <typename Word>
    static void run_all() {
        const std::vector<std::vector<std::int64_t>> shapes = {{1, 5, 3, 2}, {7, 4, 3, 2}, {40, 3, 2, 1}, {1000, 1, 2, 1}, {1, 1, 1, 1}};
        for (const std::vector<std::int64_t> &shape : shapes) {
            for (const std::int64_t slices : {1, 3, 16}) {
                for (const Strides strides : all_strides) {
                    SCOPED_TRACE(testing::Message() << shape[0] << " along d0, " << slices << " slices, strides " << int(strides));
                    run<Word>(shape, slices, strides);
                    if (HasFatalFailure()) return;
                }
            }
        }
    }
};

TEST_P(Finish, TakesAnEmptyOutput) {
    run<float>({7, 4, 3, 0}, 3, Strides::dense);
    run<float>({0, 4, 3, 2}, 3, Strides::dense);
}

TEST_P(Finish, EqualsTheReference) { run_all<float>(); }
TEST_P(Finish, EqualsTheReferenceInHalfPrecision) {
    if (GetParam().float16 == nullptr) GTEST_SKIP() << "this API has no functions in half precision";
    run_all<std::uint16_t>();
}

// Infinities, NaN and the ends of float32 among them.
TEST_P(Finish, GivesTheStoredAnswers) {
    std::ifstream file(SEPCONV_TEST_DATA "/golden/activations.json");
    const nlohmann::json index = nlohmann::json::parse(file);
    const std::map<std::string, Array> arrays = read_npz(SEPCONV_TEST_DATA "/golden/activations.npz");
    const std::vector<float> &arguments = arrays.at("input").values;
    const auto count = static_cast<std::int64_t>(arguments.size());
    const auto parameter = [](const nlohmann::json &value) {
        return value.is_string() ? std::numeric_limits<float>::infinity() : value.get<float>();
    };
    int cases = 0;
    for (const nlohmann::json &entry : index.at("elementwise")) {
        if (entry.at("kind") != GetParam().kind) continue;
        cases++;
        const std::string id = entry.at("id");
        const std::vector<float> &exact = arrays.at(id + "/exact").values;
        OpenTensor<float> partial(device(), {count, 1, 1, 1, 1}, Strides::dense), bias(device(), {1, 1, 1, 1}, Strides::dense);
        OpenTensor<float> output(device(), {count, 1, 1, 1}, Strides::dense);
        bias.repeat({true, true, true, true});
        bias.element(0) = -0.0f;  // which alone changes no sum
        for (std::int64_t i = 0; i < count; i++) partial.element(i) = arguments[static_cast<std::size_t>(i)];
        ASSERT_NO_FATAL_FAILURE(call(partial, bias, parameter(entry.at("a")), parameter(entry.at("b")), parameter(entry.at("c")), output));
        for (std::int64_t i = 0; i < count; i++) {
            const float found = output.element(i), expected = exact[static_cast<std::size_t>(i)];
            const bool close = std::isnan(expected)   ? std::isnan(found)
                               : std::isinf(expected) ? found == expected
                                                      : std::abs(found - expected) <= std::max(1e-6f, 2e-6f * std::abs(expected));
            EXPECT_TRUE(close) << id << ": expected " << expected << " for " << arguments[static_cast<std::size_t>(i)] << ", found "
                               << found;
        }
    }
    EXPECT_GT(cases, 0);
}

TEST_P(Finish, RoundsSpecialValuesToHalfPrecision) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    if (GetParam().kind != "linear" || GetParam().float16 == nullptr) return;
    const std::vector<float> values = {std::numeric_limits<float>::quiet_NaN(),
                                       infinity,
                                       -infinity,
                                       65519,
                                       65520,
                                       -65520,
                                       0x1p-24f,
                                       0x1p-25f,
                                       0x1.8p-25f,
                                       -0.0f,
                                       1e-30f,
                                       1e30f};
    const auto count = static_cast<std::int64_t>(values.size());
    OpenTensor<float> partial(device(), {1, count, 1, 1, 1}, Strides::dense), bias(device(), {1, 1, 1, 1}, Strides::dense);
    OpenTensor<std::uint16_t> output(device(), {1, count, 1, 1}, Strides::apart);
    bias.repeat({true, true, true, true});
    bias.element(0) = -0.0f;
    for (std::int64_t i = 0; i < count; i++) partial.element(i) = values[static_cast<std::size_t>(i)];
    ASSERT_NO_FATAL_FAILURE(call(partial, bias, 0, 0, 0, output));
    for (std::int64_t i = 0; i < count; i++) {
        const float value = values[static_cast<std::size_t>(i)];
        if (std::isnan(value)) {
            EXPECT_TRUE(std::isnan(number(output.element(i))));
        } else {
            EXPECT_EQ(output.element(i), float16(value).bits) << value;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Activations, Finish, testing::ValuesIn(open_functions(gpu::Stage::gpu_finish)),
                         [](const auto &info) { return info.param.test_name(); });

}  // namespace
}  // namespace sepconv
