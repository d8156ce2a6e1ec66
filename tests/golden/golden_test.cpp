// Holds every layer of cases.json against the answer stored with it, on every instruction set that this CPU runs, through OpenCL and
// Vulkan, and on a CUDA device where there is one. For layers in half precision that is Keras' answer in float64, and Keras' own in float16
// is held to the same bound.
#include <gtest/gtest.h>

#include <cctype>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "golden/compare.h"
#include "reference.h"
#include "runtime/float16_closeness.h"
#include "sepconv/io.h"
#include "sepconv/sepconv.h"

namespace sepconv::golden {
namespace {

const std::filesystem::path folder = std::filesystem::path(SEPCONV_TEST_DATA) / "golden";

struct Case {
    std::string id;
    std::string file;
    std::string config;
    KerasVersion version = KerasVersion::keras3;
    Shape input_shape = {};
    Shape output_shape = {};
};

void PrintTo(const Case &one, std::ostream *out) { *out << one.config; }

// The cases in half precision, or all others.
std::vector<Case> read_cases(bool half) {
    std::ifstream file(folder / "cases.json");
    std::vector<Case> cases;
    for (const nlohmann::json &entry : nlohmann::json::parse(file)) {
        if (entry["id"].get<std::string>().starts_with("float16_") != half) continue;
        cases.push_back({entry["id"], entry["file"], entry["config"].dump(),
                         entry["keras"] == "keras2" ? KerasVersion::keras2 : KerasVersion::keras3, entry["input_shape"].get<Shape>(),
                         entry["output_shape"].get<Shape>()});
    }
    return cases;
}

// One file of arrays, kept for the cases after this one.
const std::map<std::string, Array> &arrays_of(const std::string &file) {
    static std::string held;
    static std::map<std::string, Array> arrays;
    if (held != file) {
        arrays = read_npz(folder / file);
        held = file;
    }
    return arrays;
}

class Golden : public testing::TestWithParam<Case> {
protected:
    LayerConfig config() const {
        ParseContext context;
        context.version = GetParam().version;
        return parse_config(GetParam().config, context);
    }

    const Array &array(const std::string &name) const { return arrays_of(GetParam().file).at(GetParam().id + "/" + name); }

    StoredWeights weights(const LayerConfig &config) const {
        StoredWeights weights{array("depthwise_kernel"), array("pointwise_kernel"), {}};
        if (config.use_bias) weights.bias = array("bias");
        return weights;
    }

    // Runs a layer between values that no run may touch. NaN shows a value that was never written.
    std::vector<float> run(const Layer &layer, const Execution &how) const {
        const Array &input = array("input");
        std::vector<float> guarded(array("output").values.size() + 2, NAN);
        guarded.front() = guarded.back() = 12345.0F;
        layer.run({input.values.data(), GetParam().input_shape}, {guarded.data() + 1, GetParam().output_shape}, how);
        EXPECT_TRUE(guarded.front() == 12345.0F && guarded.back() == 12345.0F) << "values beside the output were overwritten";
        return {guarded.begin() + 1, guarded.end() - 1};
    }
};

TEST_P(Golden, OutputShapeIsThatOfKeras) { EXPECT_EQ(output_shape(config(), GetParam().input_shape), GetParam().output_shape); }

TEST_P(Golden, ComputesWhatKerasComputes) {
    const LayerConfig config = this->config();
    const StoredWeights weights = this->weights(config);
    const Array &expected = array("output");
    int targets_run = 0;
    for (const Target &target : targets()) {
        if (!target.runs_here || target.arithmetic != Arithmetic::float32) continue;
        targets_run++;
        const Layer layer(config, weights.view(), target.name);
        std::vector<float> on_one_thread;
        for (int threads : {1, 2}) {
            SCOPED_TRACE(fmt::format("on {} with {} threads", target.name, threads));
            const std::vector<float> output = run(layer, {.threads = threads, .executor = nullptr});
            EXPECT_TRUE(matches(output, expected.values, expected.shape));
            if (threads == 1) on_one_thread = output;
            EXPECT_TRUE(same_bits(output, on_one_thread)) << "not the same bits as on one thread";
        }
    }
    EXPECT_GT(targets_run, 0) << "no instruction set of this build runs on this CPU";
}

// OpenCL and Vulkan, which a CPU does for, and CUDA where there is a device.
std::vector<std::string> gpu_targets() {
    std::vector<std::string> targets;
    for (const Gpu &gpu : gpus()) {
        if (gpu.why_not.empty() || gpu.target != "cuda") targets.push_back(gpu.target);
    }
    return targets;
}

TEST_P(Golden, GpusComputeWhatKerasComputes) {
    const LayerConfig config = this->config();
    const StoredWeights weights = this->weights(config);
    const Array &expected = array("output");
    for (const std::string &target : gpu_targets()) {
        const Layer layer(config, weights.view(), target);
        EXPECT_TRUE(matches(run(layer, {}), expected.values, expected.shape)) << layer.explain(GetParam().input_shape);
    }
}

class Float16 : public Golden {
protected:
    // The largest of a tensor's values.
    static double largest(const std::vector<double> &values) { return allowed_difference(values) / relative_tolerance; }

    static Array rounded(Array array) {
        for (float &value : array.values) value = static_cast<float>(float16(value));
        return array;
    }

    // Those of mixed_float16 are stored as Keras stores them, in float32.
    StoredWeights rounded_weights(const LayerConfig &config) const {
        StoredWeights weights = this->weights(config);
        return {rounded(weights.depthwise_kernel), rounded(weights.pointwise_kernel), rounded(weights.bias)};
    }

    reference::Tensor exact() const {
        const Array &array = this->array("exact");
        return {GetParam().output_shape, {array.values.begin(), array.values.end()}};
    }

    std::vector<float16> halves(const std::string &name) const {
        std::vector<float16> values;
        for (const float value : array(name).values) values.emplace_back(value);
        return values;
    }

    // The layer before its activation, in double precision: what its errors are estimated from.
    reference::Tensor product() const {
        const LayerConfig config = this->config();
        const StoredWeights weights = rounded_weights(config);
        return reference::product(config, weights.view(), array("input").values.data(), GetParam().input_shape);
    }

    // Runs the layer between values that no run may touch, and holds the result against Keras' in float64.
    void expect_close(const Layer &layer, const std::vector<double> &error) const {
        const std::vector<float16> input = halves("input");
        const reference::Tensor exact = this->exact(), product = this->product();
        const float16 beside(12345.0F);
        std::vector<float16> on_one_thread;
        for (const int threads : {1, 2}) {
            SCOPED_TRACE(fmt::format("on {} with {} threads", layer.target(), threads));
            // NaN shows a value that was never written.
            std::vector<float16> guarded(exact.values.size() + 2, float16(NAN));
            guarded.front() = guarded.back() = beside;
            Execution how;
            how.threads = threads;
            layer.run({input.data(), GetParam().input_shape}, {guarded.data() + 1, GetParam().output_shape}, how);
            EXPECT_TRUE(guarded.front() == beside && guarded.back() == beside) << "values beside the output were overwritten";
            const std::vector<float16> output(guarded.begin() + 1, guarded.end() - 1);
            EXPECT_TRUE(is_close(output, exact, product, layer.config().activation, error));
            if (threads == 1) on_one_thread = output;
            EXPECT_TRUE(same_bits(output, on_one_thread)) << "not the same bits as on one thread";
        }
    }

    std::vector<double> error_in_float16() const {
        const LayerConfig config = this->config();
        const StoredWeights weights = rounded_weights(config);
        return float16_error(config, weights.view(), array("input").values.data(), GetParam().input_shape);
    }
};

TEST_P(Float16, ConfigIsOfHalfPrecision) { EXPECT_EQ(config().dtype, Dtype::float16); }

TEST_P(Float16, OutputShapeIsThatOfKeras) { EXPECT_EQ(output_shape(config(), GetParam().input_shape), GetParam().output_shape); }

TEST_P(Float16, ReferenceIsWhatKerasComputesInFloat64) {
    const reference::Tensor exact = this->exact(), found = reference::activated(product(), config().activation);
    ASSERT_EQ(found.values.size(), exact.values.size());
    // `exact` is stored as float32.
    const double allowed = 2e-7 * largest(exact.values);
    for (std::size_t i = 0; i < exact.values.size(); i++) EXPECT_NEAR(found.values[i], exact.values[i], allowed) << i;
}

// A bound that allows anything would hold too.
TEST_P(Float16, BoundOfSumsInFloat16IsAFewPercentAtMost) {
    const std::vector<double> error = error_in_float16();
    EXPECT_LT(*std::max_element(error.begin(), error.end()), 0.02 * largest(product().values));
}

// TensorFlow on a CPU sums the depthwise stage, adds the bias and activates in float16, and sums the channels in float32.
TEST_P(Float16, KerasOwnAnswerIsWithinTheBoundOfSumsInFloat16) {
    EXPECT_TRUE(is_close(halves("output"), exact(), product(), config().activation, error_in_float16()));
}

TEST_P(Float16, SumsInFloat32AreKerasFloat64RoundedOnce) {
    const LayerConfig config = this->config();
    const StoredWeights weights = this->weights(config);
    const std::vector<double> error = float32_error(product());
    int targets_run = 0;
    for (const Target &target : targets()) {
        if (!target.runs_here || target.arithmetic != Arithmetic::float32) continue;
        targets_run++;
        expect_close(Layer(config, weights.view(), target.name), error);
    }
    EXPECT_GT(targets_run, 0) << "no instruction set of this build runs on this CPU";
}

TEST_P(Float16, SumsInFloat16AreWithinTheirBoundOfKerasFloat64) {
    const LayerConfig config = this->config();
    const StoredWeights weights = this->weights(config);
    const std::vector<double> error = error_in_float16();
    int targets_run = 0;
    for (const Target &target : targets()) {
        if (!target.runs_here || target.arithmetic != Arithmetic::float16) continue;
        targets_run++;
        expect_close(Layer(config, weights.view(), target.name, Arithmetic::float16), error);
    }
    if (targets_run == 0) GTEST_SKIP() << "no instruction set of this build computes in float16 on this CPU";
}

TEST_P(Float16, GpusAreKerasFloat64RoundedOnce) {
    const LayerConfig config = this->config();
    const StoredWeights weights = this->weights(config);
    for (const std::string &target : gpu_targets()) {
        if (target == "vulkan") continue;  // of float32 only
        expect_close(Layer(config, weights.view(), target), float32_error(product()));
    }
}

std::string test_name(const testing::TestParamInfo<Case> &info) {
    std::string name = info.param.id;
    for (char &letter : name) {
        if (!std::isalnum(static_cast<unsigned char>(letter))) letter = '_';
    }
    return name;
}

INSTANTIATE_TEST_SUITE_P(Cases, Golden, testing::ValuesIn(read_cases(false)), test_name);
INSTANTIATE_TEST_SUITE_P(Cases, Float16, testing::ValuesIn(read_cases(true)), test_name);

}  // namespace
}  // namespace sepconv::golden
