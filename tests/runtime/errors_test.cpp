// What Layer refuses: the type of the error, the words that a person gets, and that the output stays as it was.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "random_layer.h"

namespace sepconv {
namespace {

using namespace testing_layers;
using testing::AllOf;
using testing::Each;
using testing::HasSubstr;

template <typename Expected>
std::string refusal(const std::function<void()> &call) {
    try {
        call();
    } catch (const Expected &error) {
        return error.what();
    } catch (const std::exception &error) {
        return std::string("another error: ") + error.what();
    }
    return "accepted";
}

LayerConfig plain() {
    LayerConfig config;
    config.filters = 4;
    config.padding = Padding::same;
    return config;
}

RandomLayer layer_for(const LayerConfig &config = plain()) { return filled(config, 2, 6, 7, 5); }

std::string weights_refusal(const std::function<void(Weights &)> &change, const LayerConfig &config = plain()) {
    const RandomLayer one = layer_for(config);
    Weights weights = one.weights();
    change(weights);
    return refusal<ShapeError>([&] { const Layer layer(config, weights); });
}

// ---- making a layer

TEST(MakingALayer, RefusesAConfigThatBreaksARule) {
    LayerConfig config = plain();
    const RandomLayer one = layer_for(config);
    config.strides = {2, 2};
    config.dilation_rate = {2, 2};
    EXPECT_THAT(refusal<ConfigError>([&] { const Layer layer(config, one.weights()); }),
                AllOf(HasSubstr("strides"), HasSubstr("dilation_rate")));
}

TEST(MakingALayer, RefusesZeroFiltersByName) {
    LayerConfig config = plain();
    const RandomLayer one = layer_for(config);
    config.filters = 0;
    EXPECT_THAT(refusal<ConfigError>([&] { const Layer layer(config, one.weights()); }), AllOf(HasSubstr("filters"), HasSubstr("0")));
}

TEST(MakingALayer, RefusesADepthwiseKernelOfAnotherSize) {
    EXPECT_THAT(weights_refusal([](Weights &weights) { weights.depthwise_shape[0] = 5; }),
                AllOf(HasSubstr("depthwise_kernel: expected shape (3, 3, channels, 1)"), HasSubstr("found (5, 3, 5, 1)")));
}

TEST(MakingALayer, RefusesAnotherDepthMultiplierThanTheConfigs) {
    EXPECT_THAT(weights_refusal([](Weights &weights) { weights.depthwise_shape[3] = 2; }),
                AllOf(HasSubstr("depthwise_kernel"), HasSubstr("found (3, 3, 5, 2)")));
}

TEST(MakingALayer, RefusesAKernelWithoutChannels) {
    EXPECT_THAT(weights_refusal([](Weights &weights) { weights.depthwise_shape[2] = 0; }), HasSubstr("found (3, 3, 0, 1)"));
}

TEST(MakingALayer, RefusesAPointwiseKernelForOtherChannels) {
    EXPECT_THAT(weights_refusal([](Weights &weights) { weights.pointwise_shape[2] = 6; }),
                AllOf(HasSubstr("pointwise_kernel: expected shape (1, 1, 5, 4)"), HasSubstr("found (1, 1, 6, 4)")));
}

TEST(MakingALayer, RefusesAPointwiseKernelForOtherFilters) {
    EXPECT_THAT(weights_refusal([](Weights &weights) { weights.pointwise_shape[3] = 3; }), HasSubstr("found (1, 1, 5, 3)"));
}

TEST(MakingALayer, RefusesABiasOfAnotherLength) {
    EXPECT_THAT(weights_refusal([](Weights &weights) { weights.bias_size = 3; }), HasSubstr("bias: expected shape (4), found (3)"));
}

TEST(MakingALayer, RefusesAMissingBias) {
    EXPECT_THAT(weights_refusal([](Weights &weights) { weights.bias = nullptr, weights.bias_size = 0; }),
                AllOf(HasSubstr("bias"), HasSubstr("use_bias is true")));
}

TEST(MakingALayer, RefusesABiasThatTheConfigDoesNotWant) {
    LayerConfig config = plain();
    config.use_bias = false;
    const std::vector<float> bias(4);
    EXPECT_THAT(weights_refusal([&](Weights &weights) { weights.bias = bias.data(), weights.bias_size = 4; }, config),
                HasSubstr("use_bias is false"));
}

TEST(MakingALayer, RefusesWeightsWithoutValues) {
    EXPECT_THAT(weights_refusal([](Weights &weights) { weights.depthwise_kernel = nullptr; }), HasSubstr("depthwise_kernel"));
    EXPECT_THAT(weights_refusal([](Weights &weights) { weights.pointwise_kernel = nullptr; }), HasSubstr("pointwise_kernel"));
}

// ---- the target

TEST(Target, UnknownNameListsTheKnownOnes) {
    const RandomLayer one = layer_for();
    const std::string message = refusal<TargetError>([&] { const Layer layer(one.config, one.weights(), "mmx"); });
    EXPECT_THAT(message, HasSubstr("mmx"));
    for (const Target &target : targets()) EXPECT_THAT(message, HasSubstr(target.name));
    EXPECT_GT(targets().size(), 0u);
}

TEST(Target, OneThatThisCpuLacksIsRefused) {
    const RandomLayer one = layer_for();
    for (const Target &target : targets()) {
        if (target.runs_here || target.arithmetic != Arithmetic::float32) continue;
        EXPECT_THAT(refusal<TargetError>([&] { const Layer layer(one.config, one.weights(), target.name); }),
                    AllOf(HasSubstr(target.name), HasSubstr("CPU")));
    }
}

class TargetVariable : public testing::Test {
protected:
    void SetUp() override {
        if (const char *const value = std::getenv(variable)) before_ = value, was_set_ = true;  // NOLINT(concurrency-mt-unsafe)
    }
    void TearDown() override { was_set_ ? setenv(variable, before_.c_str(), 1) : unsetenv(variable); }  // NOLINT(concurrency-mt-unsafe)
    static void set(const std::string &value) { setenv(variable, value.c_str(), 1); }                   // NOLINT(concurrency-mt-unsafe)

private:
    static constexpr const char *variable = "SEPCONV_TARGET";
    std::string before_;
    bool was_set_ = false;
};

TEST_F(TargetVariable, ForcesEachTargetThatRunsHere) {
    const RandomLayer one = layer_for();
    for (const std::string &name : targets_here()) {
        set(name);
        EXPECT_EQ(Layer(one.config, one.weights()).target(), name);
        EXPECT_EQ(default_target(), name);
    }
}

TEST_F(TargetVariable, YieldsToATargetThatIsNamed) {
    const RandomLayer one = layer_for();
    set(targets_here().front());
    EXPECT_EQ(Layer(one.config, one.weights(), targets_here().back()).target(), targets_here().back());
}

TEST_F(TargetVariable, EmptyMeansTheBest) {
    set("");
    EXPECT_EQ(default_target(), targets_here().front());
}

TEST_F(TargetVariable, WithAnUnknownNameIsAnErrorThatNamesTheVariable) {
    const RandomLayer one = layer_for();
    set("sse9");
    EXPECT_THAT(refusal<TargetError>([] { default_target(); }), AllOf(HasSubstr("SEPCONV_TARGET"), HasSubstr("sse9")));
    EXPECT_THAT(refusal<TargetError>([&] { const Layer layer(one.config, one.weights()); }), HasSubstr("SEPCONV_TARGET"));
}

// ---- running

class RunErrors : public testing::Test {
protected:
    static constexpr float before = 4711;
    RandomLayer one_ = layer_for();
    Layer layer_{one_.config, one_.weights()};
    std::vector<float> values_ = std::vector<float>(10'000, before);
    TensorView<const float> input_{one_.image.data(), one_.input};
    TensorView<float> output_{values_.data(), one_.output};

    std::string refused() {
        const std::string message = refusal<ShapeError>([&] { layer_.run(input_, output_); });
        EXPECT_THAT(values_, Each(before)) << "the output was touched";
        return message;
    }
};

TEST_F(RunErrors, InputWithOtherChannels) {
    input_ = {one_.image.data(), {2, 6, 5, 7}};
    EXPECT_THAT(refused(), AllOf(HasSubstr("input: expected 5 channels"), HasSubstr("(2, 6, 5, 7)")));
}

TEST_F(RunErrors, OutputOfAnotherShape) {
    output_ = {values_.data(), {2, 6, 7, 5}};
    EXPECT_THAT(refused(), AllOf(HasSubstr("output: expected shape (2, 6, 7, 4)"), HasSubstr("found (2, 6, 7, 5)")));
}

TEST_F(RunErrors, InputWithoutRows) {
    input_ = {one_.image.data(), {2, 0, 7, 5}};
    EXPECT_THAT(refused(), AllOf(HasSubstr("input"), HasSubstr("(2, 0, 7, 5)")));
}

TEST_F(RunErrors, InputWithANegativeExtent) {
    input_ = {one_.image.data(), {-1, 6, 7, 5}};
    EXPECT_THAT(refused(), AllOf(HasSubstr("input"), HasSubstr("-1")));
}

TEST_F(RunErrors, InputThatIsNotDenseInside) {
    input_.strides = {6 * 7 * 10, 7 * 10, 10, 2};
    EXPECT_THAT(refused(), AllOf(HasSubstr("input: expected an innermost stride of 1"), HasSubstr("(420, 70, 10, 2)")));
}

TEST_F(RunErrors, OutputThatIsNotDenseInside) {
    output_.strides = {6 * 7 * 8, 7 * 8, 8, 2};
    EXPECT_THAT(refused(), HasSubstr("output: expected an innermost stride of 1"));
}

TEST_F(RunErrors, NegativeStride) {
    input_.strides[1] = -input_.strides[1];
    EXPECT_THAT(refused(), AllOf(HasSubstr("input"), HasSubstr("positive strides")));
}

TEST_F(RunErrors, OutputWhoseRowsOverlap) {
    output_.strides[1] = output_.strides[2];
    EXPECT_THAT(refused(), AllOf(HasSubstr("output"), HasSubstr("overlap")));
}

TEST_F(RunErrors, StridesBeyondMemory) {
    input_.strides[0] = std::numeric_limits<std::int64_t>::max();
    EXPECT_THAT(refused(), AllOf(HasSubstr("input"), HasSubstr("larger than memory")));
}

TEST_F(RunErrors, InputWithoutValues) {
    input_.data = nullptr;
    EXPECT_THAT(refused(), AllOf(HasSubstr("input"), HasSubstr("null pointer")));
}

TEST_F(RunErrors, OutputWithoutValues) {
    output_.data = nullptr;
    EXPECT_THAT(refused(), AllOf(HasSubstr("output"), HasSubstr("null pointer")));
}

TEST_F(RunErrors, OutputOverTheInput) {
    input_.data = values_.data();
    EXPECT_THAT(refused(), AllOf(HasSubstr("output"), HasSubstr("input's")));
}

TEST_F(RunErrors, ExtentsBeyond2To31) {
    EXPECT_THAT(refusal<ShapeError>([&] { layer_.output_shape({1, std::int64_t(1) << 31, 1, 5}); }), HasSubstr("2147483648"));
}

TEST_F(RunErrors, ValidWindowLargerThanTheImage) {
    LayerConfig config = plain();
    config.padding = Padding::valid;
    const Layer layer(config, layer_for(config).weights());
    EXPECT_THAT(refusal<ShapeError>([&] { layer.output_shape({1, 2, 9, 5}); }), AllOf(HasSubstr("3"), HasSubstr("(1, 2, 9, 5)")));
}

TEST_F(RunErrors, OddAxisOfGlu) {
    LayerConfig config = plain();
    config.data_format = DataFormat::channels_first;
    config.activation = default_activation(ActivationKind::glu);
    const Layer layer(config, filled(config, 1, 4, 4, 5).weights());
    EXPECT_THAT(refusal<ShapeError>([&] { layer.output_shape({1, 5, 4, 7}); }), AllOf(HasSubstr("even"), HasSubstr("7")));
}

TEST_F(RunErrors, ANegativeNumberOfThreads) {
    const std::string message = refusal<Error>([&] { layer_.run(input_, output_, {.threads = -1, .executor = nullptr}); });
    EXPECT_THAT(message, AllOf(HasSubstr("threads"), HasSubstr("-1")));
    EXPECT_THAT(values_, Each(before));
}

TEST_F(RunErrors, ExplainRefusesWhatRunRefuses) {
    EXPECT_THAT(refusal<ShapeError>([&] { layer_.explain({2, 6, 7, 6}); }), HasSubstr("expected 5 channels"));
}

TEST_F(RunErrors, ARunAfterARefusedOneWorks) {
    output_.strides[1] = 1;
    refused();
    output_ = {values_.data(), one_.output};
    EXPECT_NO_THROW(layer_.run(input_, output_));
}

}  // namespace
}  // namespace sepconv
