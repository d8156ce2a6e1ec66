// Activations by name, as serialised objects of Keras 2 and 3, and back to JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "sepconv/config.h"

namespace sepconv {
namespace {

using nlohmann::json;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

constexpr float infinity = std::numeric_limits<float>::infinity();

LayerConfig layer_with(const std::string &activation, KerasVersion version = KerasVersion::keras3) {
    return parse_config(R"({"filters": 4, "kernel_size": 3, "activation": )" + activation + "}",
                        {.source = "layer.json", .version = version, .data_format = DataFormat::channels_last, .warn = {}});
}

Activation read(const std::string &activation, KerasVersion version = KerasVersion::keras3) {
    return layer_with(activation, version).activation;
}

std::string refusal(const std::string &activation, KerasVersion version = KerasVersion::keras3) {
    try {
        layer_with(activation, version);
    } catch (const ConfigError &error) {
        return error.what();
    }
    return "accepted";
}

// What to_json makes of an activation.
json written(const Activation &activation) {
    LayerConfig config;
    config.filters = 4;
    config.activation = activation;
    return json::parse(to_json(config))["activation"];
}

Activation with(ActivationKind kind, float a = 0, float b = 0, float c = 0) {
    Activation activation;
    activation.kind = kind;
    activation.a = a;
    activation.b = b;
    activation.c = c;
    return activation;
}

std::string refusal_of(const Activation &activation) {
    LayerConfig config;
    config.filters = 4;
    config.activation = activation;
    try {
        validate(config);
    } catch (const ConfigError &error) {
        return error.what();
    }
    return "accepted";
}

// Names

TEST(ActivationName, NullIsLinear) { EXPECT_EQ(read("null"), with(ActivationKind::linear)); }

TEST(ActivationName, ReluHasNoLimitByDefault) { EXPECT_EQ(read(R"("relu")"), with(ActivationKind::relu, infinity, 0, 0)); }

TEST(ActivationName, SwishIsSilu) { EXPECT_EQ(read(R"("swish")"), with(ActivationKind::silu)); }

TEST(ActivationName, HardSwishIsHardSilu) { EXPECT_EQ(read(R"("hard_swish")"), with(ActivationKind::hard_silu)); }

TEST(ActivationName, HardSigmoidOfKeras3IsTheSteeperOne) { EXPECT_EQ(read(R"("hard_sigmoid")"), with(ActivationKind::hard_sigmoid)); }

TEST(ActivationName, HardSigmoidOfKeras2IsTheFlatterOne) {
    EXPECT_EQ(read(R"("hard_sigmoid")", KerasVersion::keras2), with(ActivationKind::hard_sigmoid_keras2));
}

TEST(ActivationName, CaseMatters) {
    EXPECT_EQ(refusal(R"("Relu")"),
              "layer.json: activation: expected an activation of Keras (a name, null or a serialised object), "
              "found \"Relu\", a custom one or none that Keras has; did you mean \"relu\"?");
}

TEST(ActivationName, LayersAreNamesInKeras2Only) {
    EXPECT_EQ(read(R"("LeakyReLU")", KerasVersion::keras2), with(ActivationKind::leaky_relu, 0.3F));
    EXPECT_THAT(refusal(R"("LeakyReLU")"), StartsWith("layer.json: activation: expected"));
}

TEST(ActivationName, ThresholdAloneIsRefused) {
    EXPECT_THAT(refusal(R"("threshold")"), EndsWith("found the name alone (they have no defaults)"));
}

TEST(ActivationName, NumberIsRefused) {
    EXPECT_EQ(refusal("3"), "layer.json: activation: expected an activation of Keras (a name, null or a serialised object), found 3");
}

TEST(ActivationName, BothHardSigmoidsGoByOneName) { EXPECT_EQ(name(ActivationKind::hard_sigmoid_keras2), "hard_sigmoid"); }

TEST(ActivationKinds, FourWorkAlongAnAxis) {
    using enum ActivationKind;
    int along_axis = 0;
    for (int kind = 0; kind <= int(glu); ++kind) along_axis += is_elementwise(ActivationKind(kind)) ? 0 : 1;
    EXPECT_EQ(along_axis, 4);
    for (ActivationKind kind : {softmax, log_softmax, sparsemax, glu}) EXPECT_FALSE(is_elementwise(kind));
}

// Serialised functions

TEST(ActivationFunction, WrittenOutByKeras3) {
    EXPECT_EQ(read(R"({"module": "keras.activations", "class_name": "function", "config": "tanh", "registered_name": "function"})"),
              with(ActivationKind::tanh));
}

TEST(ActivationFunction, CustomOneIsRefusedByName) {
    EXPECT_THAT(refusal(R"({"module": "builtins", "class_name": "function", "config": "pkg>my_own", "registered_name": "function"})"),
                HasSubstr("found \"pkg>my_own\", a custom one or none that Keras has"));
}

TEST(ActivationFunction, CustomClassIsRefusedByName) {
    EXPECT_THAT(refusal(R"({"module": "my", "class_name": "Bump", "config": {}, "registered_name": "my>Bump"})"),
                HasSubstr("found \"Bump\", a custom one or none that Keras has"));
}

TEST(ActivationFunction, LambdaAsGetConfigWritesItIsRefusedAsOne) {
    EXPECT_THAT(refusal(R"({"value": ["4wEAAAA=", null, null]})"), EndsWith("found a Lambda (Python code, which only Python can run)"));
}

TEST(ActivationFunction, LambdaWithItsClassIsRefusedAsOne) {
    EXPECT_THAT(refusal(R"({"class_name": "__lambda__", "config": {"value": ["4wEAAAA=", null, null]}})"),
                EndsWith("found a Lambda (Python code, which only Python can run)"));
}

TEST(ActivationFunction, TakesParametersUnderItsName) {
    EXPECT_EQ(read(R"({"class_name": "celu", "config": {"alpha": 0.5}})"), with(ActivationKind::celu, 0.5F));
}

TEST(ActivationFunction, WithoutParametersHasKerasDefaults) {
    EXPECT_EQ(read(R"({"class_name": "softplus", "config": {}})"), with(ActivationKind::softplus));
    EXPECT_EQ(read(R"({"class_name": "squareplus"})"), with(ActivationKind::squareplus, 4));
}

TEST(ActivationFunction, ReluTakesAllOfItsParameters) {
    EXPECT_EQ(read(R"({"class_name": "relu", "config": {"negative_slope": 0.1, "max_value": 6, "threshold": -1}})"),
              with(ActivationKind::relu, 6, 0.1F, -1));
}

TEST(ActivationFunction, SlopeIsCalledAlphaInKeras2) {
    EXPECT_EQ(read(R"({"class_name": "relu", "config": {"alpha": 0.1}})", KerasVersion::keras2),
              with(ActivationKind::relu, infinity, 0.1F, 0));
}

TEST(ActivationFunction, ThresholdTakesBothOfItsParameters) {
    EXPECT_EQ(read(R"({"class_name": "threshold", "config": {"threshold": 1, "default_value": -2}})"),
              with(ActivationKind::threshold, 1, -2));
}

TEST(ActivationFunction, ThresholdWithoutItsDefaultValueIsRefused) {
    EXPECT_EQ(refusal(R"({"class_name": "threshold", "config": {"threshold": 1}})"),
              "layer.json: activation.config.default_value: expected a number, found nothing (it has no default)");
}

TEST(ActivationFunction, ApproximateGeluIsAKindOfItsOwn) {
    EXPECT_EQ(read(R"({"class_name": "gelu", "config": {"approximate": true}})"), with(ActivationKind::gelu_approximate));
}

TEST(ActivationFunction, UnknownParameterIsRefusedByName) {
    EXPECT_EQ(refusal(R"({"class_name": "celu", "config": {"alph": 2}})"),
              "layer.json: activation.config.alph: expected an argument of the activation celu, found one that it does not have; "
              "did you mean \"alpha\"?");
}

TEST(ActivationFunction, SpareKeyBesideTheClassIsRefused) {
    EXPECT_THAT(refusal(R"({"class_name": "celu", "config": {}, "alpha": 2})"), StartsWith("layer.json: activation.alpha: expected"));
}

// Layer objects

TEST(ActivationLayer, ReluWithoutLimit) {
    EXPECT_EQ(read(R"({"class_name": "ReLU", "config": {"max_value": null, "negative_slope": 0.25, "threshold": 1.5}})"),
              with(ActivationKind::relu, infinity, 0.25F, 1.5F));
}

TEST(ActivationLayer, ReluRefusesANegativeSlope) {
    EXPECT_EQ(refusal(R"({"class_name": "ReLU", "config": {"negative_slope": -0.5}})"),
              "layer.json: activation.config.negative_slope: expected a number of 0 or more, found -0.5");
}

TEST(ActivationLayer, ReluRefusesANegativeLimit) {
    EXPECT_EQ(refusal(R"({"class_name": "ReLU", "config": {"max_value": -1}})"),
              "layer.json: activation.config.max_value: expected a number of 0 or more, or null, found -1");
}

TEST(ActivationLayer, ReluRefusesANegativeThreshold) {
    EXPECT_EQ(refusal(R"({"class_name": "ReLU", "config": {"threshold": -1}})"),
              "layer.json: activation.config.threshold: expected a number of 0 or more, found -1");
}

TEST(ActivationLayer, LeakyReluDefaultsToThreeTenths) {
    EXPECT_EQ(read(R"({"class_name": "LeakyReLU", "config": {}})"), with(ActivationKind::leaky_relu, 0.3F));
}

TEST(ActivationLayer, LeakyReluOfKeras2CallsItsSlopeAlpha) {
    EXPECT_EQ(read(R"({"class_name": "LeakyReLU", "config": {"alpha": 0.1}})", KerasVersion::keras2),
              with(ActivationKind::leaky_relu, 0.1F));
}

TEST(ActivationLayer, LeakyReluWithTwoSlopesIsRefused) {
    EXPECT_EQ(refusal(R"({"class_name": "LeakyReLU", "config": {"alpha": 0.1, "negative_slope": 0.1}})"),
              "layer.json: activation.config.alpha: expected negative_slope (Keras 3) or alpha (Keras 2), found both");
}

TEST(ActivationLayer, NumbersThatKeras2WroteAsArraysAreRead) {
    EXPECT_EQ(read(R"({"class_name": "ReLU", "config": {"max_value": {"type": "ndarray", "value": 6.0}}})", KerasVersion::keras2),
              with(ActivationKind::relu, 6, 0, 0));
}

TEST(ActivationLayer, EluTakesAlpha) {
    EXPECT_EQ(read(R"({"class_name": "ELU", "config": {"alpha": 0.5}})"), with(ActivationKind::elu, 0.5F));
}

TEST(ActivationLayer, EluRefusesNull) {
    EXPECT_EQ(refusal(R"({"class_name": "ELU", "config": {"alpha": null}})"),
              "layer.json: activation.config.alpha: expected a number, found null");
}

TEST(ActivationLayer, NumberBeyondFloat32IsRefused) {
    EXPECT_EQ(refusal(R"({"class_name": "ELU", "config": {"alpha": 1e39}})"),
              "layer.json: activation.config.alpha: expected a number, found 1e+39 (float32 does not hold it)");
}

TEST(ActivationLayer, SoftmaxTakesSeveralAxes) {
    Activation expected = with(ActivationKind::softmax);
    expected.axes = {1, -2};
    EXPECT_EQ(read(R"({"class_name": "Softmax", "config": {"axis": [1, -2]}})"), expected);
}

TEST(ActivationLayer, SoftmaxRefusesAnEmptyListOfAxes) {
    EXPECT_EQ(refusal(R"({"class_name": "Softmax", "config": {"axis": []}})"),
              "layer.json: activation.config.axis: expected an integer or a list of integers, found []");
}

TEST(ActivationLayer, SoftmaxRefusesAnAxisThatFourDimensionsLack) {
    EXPECT_EQ(refusal(R"({"class_name": "Softmax", "config": {"axis": -5}})"),
              "layer.json: activation.axis of softmax: expected axes from -4 to 3, for an output of rank 4, found [-5]");
}

TEST(ActivationLayer, SoftmaxRefusesOneAxisUnderTwoNumbers) {
    EXPECT_EQ(refusal(R"({"class_name": "Softmax", "config": {"axis": [3, -1]}})"),
              "layer.json: activation.axis of softmax: expected each axis once, found [3, -1]");
}

TEST(ActivationLayer, PreluIsRefusedForItsWeights) {
    EXPECT_EQ(refusal(R"({"class_name": "PReLU", "config": {"shared_axes": [1, 2]}})"),
              "layer.json: activation: expected an activation without weights, found PReLU, which has weights of its own");
}

TEST(ActivationLayer, LambdaIsRefused) {
    EXPECT_THAT(refusal(R"({"class_name": "Lambda", "config": {}})"), EndsWith("found a Lambda (Python code, which only Python can run)"));
}

TEST(ActivationLayer, ActivationLayerStandsForWhatItHolds) {
    EXPECT_EQ(read(R"({"class_name": "Activation", "config": {"name": "a", "activation": {"class_name": "ELU", "config": {"alpha": 2}}}})"),
              with(ActivationKind::elu, 2));
}

TEST(ActivationLayer, UnknownArgumentIsRefused) {
    EXPECT_EQ(refusal(R"({"class_name": "ELU", "config": {"slope": 2}})"),
              "layer.json: activation.config.slope: expected an argument of the layer ELU, found one that it does not have");
}

TEST(ActivationLayer, ConfigMustBeAnObject) {
    EXPECT_EQ(refusal(R"({"class_name": "ELU", "config": 2})"), "layer.json: activation.config: expected an object, found 2");
}

// validate

TEST(ActivationParameters, NotANumberIsRefused) {
    EXPECT_EQ(refusal_of(with(ActivationKind::elu, std::numeric_limits<float>::quiet_NaN())),
              "activation.alpha of elu: expected a finite number, found nan");
}

TEST(ActivationParameters, NegativeLimitIsRefused) {
    EXPECT_EQ(refusal_of(with(ActivationKind::relu, -1)), "activation.max_value of relu: expected a number of 0 or more, found -1");
}

TEST(ActivationParameters, NoAxisIsRefused) {
    Activation activation = with(ActivationKind::glu);
    activation.axes = {};
    EXPECT_EQ(refusal_of(activation), "activation.axis of glu: expected at least one axis, found []");
}

TEST(ActivationParameters, TwoAxesOfGluAreRefused) {
    Activation activation = with(ActivationKind::glu);
    activation.axes = {1, 2};
    EXPECT_EQ(refusal_of(activation), "activation.axis of glu: expected one axis, found [1, 2]");
}

TEST(ActivationParameters, AxesOfElementwiseFunctionsAreIgnored) {
    Activation activation = with(ActivationKind::tanh);
    activation.axes = {17};
    EXPECT_EQ(refusal_of(activation), "accepted");
}

TEST(ActivationParameters, KindOutsideTheEnumerationIsRefused) {
    EXPECT_EQ(refusal_of(with(static_cast<ActivationKind>(99))), "activation: expected an ActivationKind, found the number 99");
}

// Back to JSON

TEST(ActivationJson, DefaultsAreWrittenAsTheName) { EXPECT_EQ(written(default_activation(ActivationKind::leaky_relu)), "leaky_relu"); }

TEST(ActivationJson, ReluWithALimitIsWrittenAsKeras3sLayer) {
    EXPECT_EQ(written(with(ActivationKind::relu, 6, 0.1F, 0)),
              json::parse(R"({"module": "keras.layers", "class_name": "ReLU", "registered_name": null,
                              "config": {"max_value": 6.0, "negative_slope": 0.1, "threshold": 0.0}})"));
}

TEST(ActivationJson, WhatKerasHasNoFormForIsWrittenSoThatKerasRefusesIt) {
    EXPECT_EQ(written(with(ActivationKind::celu, 0.5F)), json::parse(R"({"class_name": "celu", "config": {"alpha": 0.5}})"));
}

TEST(ActivationJson, EveryKindComesBackEqual) {
    for (int kind = 0; kind <= int(ActivationKind::glu); ++kind) {
        const Activation activation = default_activation(ActivationKind(kind));
        SCOPED_TRACE(name(activation.kind));
        EXPECT_EQ(read(written(activation).dump()), activation);
    }
}

TEST(ActivationJson, OddParametersComeBackEqual) {
    using enum ActivationKind;
    for (const Activation &activation :
         {with(relu, 1e-30F, 3.3F, 0.1F), with(relu, infinity, -0.1F, -2), with(relu, 0, 0, 0), with(leaky_relu, 0.1F),
          with(leaky_relu, -0.1F), with(elu, -0.7F), with(celu, 1.0F / 3), with(squareplus, 0), with(soft_shrink, 3.4e38F),
          with(hard_shrink, 1e-45F), with(threshold, -1, 2)}) {
        SCOPED_TRACE(name(activation.kind));
        EXPECT_EQ(read(written(activation).dump()), activation);
    }
}

TEST(ActivationJson, AxesComeBackEqual) {
    using enum ActivationKind;
    for (ActivationKind kind : {softmax, log_softmax, sparsemax, glu}) {
        Activation activation = with(kind);
        activation.axes = {-3};
        SCOPED_TRACE(name(kind));
        EXPECT_EQ(read(written(activation).dump()), activation);
    }
    Activation several = with(softmax);
    several.axes = {1, -2};
    EXPECT_EQ(read(written(several).dump()), several);
}

TEST(ActivationJson, MeaningDoesNotChangeWithTheReadersVersion) {
    const Activation old = default_activation(ActivationKind::hard_sigmoid_keras2);
    EXPECT_EQ(read(written(old).dump(), KerasVersion::keras3), old);
}

}  // namespace
}  // namespace sepconv
