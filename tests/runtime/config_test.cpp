// What parse_config reads and refuses, with the messages that a person gets, and the shape of the output.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sepconv/config.h"

namespace sepconv {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

ParseContext context(KerasVersion version = KerasVersion::keras3) {
    return {.source = "layer.json", .version = version, .data_format = DataFormat::channels_last, .warn = {}};
}

// A layer of 4 filters and a 3x3 kernel, with further arguments in JSON: `"strides": 2, "padding": "same"`.
std::string layer(const std::string &arguments) { return R"({"filters": 4, "kernel_size": 3, )" + arguments + "}"; }

LayerConfig parsed(const std::string &arguments) { return parse_config(layer(arguments), context()); }

// The message that a config is refused with.
std::string refusal(std::string_view config) {
    try {
        parse_config(config, context());
    } catch (const ConfigError &error) {
        return error.what();
    }
    return "accepted";
}

std::string refusal_with(const std::string &arguments) { return refusal(layer(arguments)); }

std::string refusal_of(const LayerConfig &config) {
    try {
        validate(config);
    } catch (const ConfigError &error) {
        return error.what();
    }
    return "accepted";
}

std::vector<std::string> remarks(const std::string &arguments) {
    std::vector<std::string> remarks;
    ParseContext listening = context();
    listening.warn = [&](const std::string &remark) { remarks.push_back(remark); };
    parse_config(layer(arguments), listening);
    return remarks;
}

LayerConfig valid_config() {
    LayerConfig config;
    config.filters = 4;
    return config;
}

// Defaults

TEST(Config, DefaultsAreThoseOfKeras) {
    const LayerConfig config = parse_config(R"({"filters": 4, "kernel_size": 3})", context());
    LayerConfig expected;
    expected.filters = 4;
    EXPECT_EQ(config, expected);
}

TEST(Config, OneNumberStandsForHeightAndWidth) { EXPECT_THAT(parsed(R"("strides": 2)").strides, ElementsAre(2, 2)); }

TEST(Config, ListsGiveHeightThenWidth) {
    EXPECT_THAT(parse_config(R"({"filters": 4, "kernel_size": [5, 1]})", context()).kernel_size, ElementsAre(5, 1));
}

TEST(Config, PaddingMayBeInAnyCase) { EXPECT_EQ(parsed(R"("padding": "SaMe")").padding, Padding::same); }

TEST(Config, DataFormatMayBeInAnyCase) { EXPECT_EQ(parsed(R"("data_format": "Channels_First")").data_format, DataFormat::channels_first); }

TEST(Config, NullDataFormatTakesTheContexts) {
    ParseContext first = context();
    first.data_format = DataFormat::channels_first;
    EXPECT_EQ(parse_config(layer(R"("data_format": null)"), first).data_format, DataFormat::channels_first);
}

TEST(Config, UnequalStridesAreRead) { EXPECT_THAT(parsed(R"("strides": [1, 3])").strides, ElementsAre(1, 3)); }

TEST(Config, DilationWithUnitStridesIsRead) {
    EXPECT_THAT(parsed(R"("strides": [1, 1], "dilation_rate": [2, 3])").dilation_rate, ElementsAre(2, 3));
}

TEST(Config, NullNameKeepsTheDefault) { EXPECT_EQ(parsed(R"("name": null)").name, "separable_conv2d"); }

// Messages that the layer's description promises

TEST(Message, FiltersAbsent) {
    EXPECT_EQ(refusal(R"({"kernel_size": 3})"), "layer.json: filters: expected a positive integer, found nothing");
}

TEST(Message, FiltersZero) {
    EXPECT_EQ(refusal(R"({"filters": 0, "kernel_size": 3})"), "layer.json: filters: expected a positive integer, found 0");
}

TEST(Message, FiltersNegative) {
    EXPECT_EQ(refusal(R"({"filters": -3, "kernel_size": 3})"), "layer.json: filters: expected a positive integer, found -3");
}

TEST(Message, FiltersFractional) {
    EXPECT_EQ(refusal(R"({"filters": 3.0, "kernel_size": 3})"), "layer.json: filters: expected a positive integer, found 3.0");
}

TEST(Message, FiltersBoolean) {
    EXPECT_EQ(refusal(R"({"filters": true, "kernel_size": 3})"), "layer.json: filters: expected a positive integer, found true");
}

TEST(Message, FiltersNull) {
    EXPECT_EQ(refusal(R"({"filters": null, "kernel_size": 3})"), "layer.json: filters: expected a positive integer, found null");
}

TEST(Message, FiltersString) {
    EXPECT_EQ(refusal(R"({"filters": "4", "kernel_size": 3})"), R"(layer.json: filters: expected a positive integer, found "4")");
}

TEST(Message, FiltersBeyondThirtyTwoBits) {
    EXPECT_EQ(refusal(R"({"filters": 2147483648, "kernel_size": 3})"),
              "layer.json: filters: expected a positive integer, found 2147483648 (at most 2147483647)");
}

TEST(Message, FiltersBeyondSixtyThreeBits) {
    EXPECT_EQ(refusal(R"({"filters": 18446744073709551615, "kernel_size": 3})"),
              "layer.json: filters: expected a positive integer, found 18446744073709551615 (at most 2147483647)");
}

TEST(Message, FiltersBeyondSixtyFourBits) {
    EXPECT_THAT(refusal(R"({"filters": 99999999999999999999, "kernel_size": 3})"),
                StartsWith("layer.json: filters: expected a positive integer, found 1e+20"));
}

TEST(Message, DepthMultiplierZero) {
    EXPECT_EQ(refusal_with(R"("depth_multiplier": 0)"), "layer.json: depth_multiplier: expected a positive integer, found 0");
}

TEST(Message, KernelSizeAbsent) {
    EXPECT_EQ(refusal(R"({"filters": 4})"), "layer.json: kernel_size: expected one positive integer or two, found nothing");
}

TEST(Message, KernelSizeZero) {
    EXPECT_EQ(refusal(R"({"filters": 4, "kernel_size": 0})"), "layer.json: kernel_size: expected one positive integer or two, found 0");
}

TEST(Message, StridesWithAZero) {
    EXPECT_EQ(refusal_with(R"("strides": [2, 0])"), "layer.json: strides: expected one positive integer or two, found [2, 0]");
}

TEST(Message, DilationRateNegative) {
    EXPECT_EQ(refusal_with(R"("dilation_rate": [-1, 1])"),
              "layer.json: dilation_rate: expected one positive integer or two, found [-1, 1]");
}

TEST(Message, ListOfOne) {
    EXPECT_EQ(refusal_with(R"("strides": [2])"), "layer.json: strides: expected one positive integer or two, found [2]");
}

TEST(Message, ListOfThree) {
    EXPECT_EQ(refusal_with(R"("strides": [1, 1, 1])"), "layer.json: strides: expected one positive integer or two, found [1, 1, 1]");
}

TEST(Message, ListWithAFraction) {
    EXPECT_EQ(refusal_with(R"("strides": [1, 2.0])"), "layer.json: strides: expected one positive integer or two, found [1, 2.0]");
}

TEST(Message, ListWithAHugeNumber) {
    EXPECT_EQ(refusal_with(R"("strides": [1, 4294967296])"),
              "layer.json: strides: expected one positive integer or two, found [1, 4294967296] (at most 2147483647)");
}

TEST(Message, ListWithANumberBeyondSixtyThreeBits) {
    EXPECT_THAT(refusal_with(R"("strides": [1, 18446744073709551615])"),
                StartsWith("layer.json: strides: expected one positive integer or two, found [1, 18446744073709551615]"));
}

TEST(Message, PaddingUnknown) {
    EXPECT_EQ(refusal_with(R"("padding": "full")"), R"(layer.json: padding: expected "valid" or "same", found "full")");
}

TEST(Message, PaddingCausalByName) {
    EXPECT_EQ(refusal_with(R"("padding": "causal")"),
              R"(layer.json: padding: expected "valid" or "same", found "causal" (causal padding is for 1-D convolutions))");
}

TEST(Message, PaddingNull) {
    EXPECT_EQ(refusal_with(R"("padding": null)"), R"(layer.json: padding: expected "valid" or "same", found null)");
}

TEST(Message, DataFormatUnknown) {
    EXPECT_EQ(refusal_with(R"("data_format": "channel_last")"),
              R"(layer.json: data_format: expected "channels_last" or "channels_first", found "channel_last")");
}

TEST(Message, StridesTogetherWithDilation) {
    EXPECT_EQ(refusal_with(R"("strides": [1, 2], "dilation_rate": [2, 1])"),
              "layer.json: strides: expected 1 where dilation_rate is not 1 (the layer has one or the other), "
              "found strides [1, 2] with dilation_rate [2, 1]");
}

TEST(Message, UseBiasNumber) { EXPECT_EQ(refusal_with(R"("use_bias": 1)"), "layer.json: use_bias: expected true or false, found 1"); }

TEST(Message, NameNumber) { EXPECT_EQ(refusal_with(R"("name": 3)"), "layer.json: name: expected a string or null, found 3"); }

TEST(Message, TrainableNull) {
    EXPECT_EQ(refusal_with(R"("trainable": null)"), "layer.json: trainable: expected true or false, found null");
}

TEST(Message, UnknownArgumentNear) {
    EXPECT_EQ(refusal_with(R"("stride": 2)"),
              R"(layer.json: stride: expected an argument of SeparableConv2D, found one that it does not have; did you mean "strides"?)");
}

TEST(Message, UnknownArgumentFar) {
    EXPECT_EQ(refusal_with(R"("units": 2)"), "layer.json: units: expected an argument of SeparableConv2D, found one that it does not have");
}

TEST(Message, BuildConfigInsideTheConfig) {
    EXPECT_THAT(refusal_with(R"("build_config": {})"), StartsWith("layer.json: build_config: expected an argument of SeparableConv2D"));
}

TEST(Message, WithoutSourceStartsWithTheArgument) {
    try {
        parse_config(R"({"filters": 0, "kernel_size": 3})", {});
        FAIL();
    } catch (const ConfigError &error) {
        EXPECT_STREQ(error.what(), "filters: expected a positive integer, found 0");
    }
}

TEST(Message, LongValuesAreCutShort) {
    EXPECT_THAT(refusal_with(R"("padding": ")" + std::string(100000, 'x') + "\"").size(), testing::Lt(300U));
}

// JSON itself

TEST(Json, NothingIsRefused) { EXPECT_EQ(refusal(""), "layer.json: expected JSON, found the end of the text at line 1, column 1"); }

TEST(Json, TruncationNamesThePlace) {
    EXPECT_EQ(refusal("{\"filters\": 4,\n"), "layer.json: expected JSON, found the end of the text at line 2, column 1");
}

TEST(Json, StrayCharacterNamesThePlace) {
    EXPECT_EQ(refusal("{\"filters\": 4,\n \"kernel_size\": x}"), "layer.json: expected JSON, found 'x' at line 2, column 17");
}

TEST(Json, TrailingTextIsRefused) {
    EXPECT_EQ(refusal(R"({"filters": 4, "kernel_size": 3} x)"), "layer.json: expected JSON, found 'x' at line 1, column 34");
}

TEST(Json, NotANumberLiteralIsRefusedByName) {
    EXPECT_EQ(refusal_with(R"("strides": NaN)"), "layer.json: expected JSON, found NaN, which JSON does not have, at line 1, column 45");
}

TEST(Json, InfinityLiteralIsRefusedByName) {
    EXPECT_THAT(refusal_with(R"("strides": -Infinity)"), HasSubstr("found Infinity, which JSON does not have,"));
}

TEST(Json, NumberBeyondFloat64IsRefused) {
    EXPECT_EQ(refusal_with(R"("strides": 1e999)"), "layer.json: expected numbers that float64 holds, found a larger one");
}

TEST(Json, BytesThatAreNoUtf8AreRefused) {
    EXPECT_THAT(refusal_with("\"name\": \"\xff\""), StartsWith("layer.json: expected JSON, found byte 0xff"));
}

TEST(Json, ListIsNoConfig) {
    EXPECT_EQ(refusal("[1, 2]"), "layer.json: expected an object with the arguments of SeparableConv2D, found [1, 2]");
}

TEST(Json, RepeatedKeyIsRefused) {
    EXPECT_EQ(refusal_with(R"("strides": 1, "strides": 2)"), "layer.json: strides: expected one value, found the key twice");
}

TEST(Json, RepeatedInnerKeyIsRefusedByItsPath) {
    EXPECT_EQ(refusal_with(R"("activation": {"class_name": "ELU", "config": {"alpha": 1, "alpha": 2}})"),
              "layer.json: activation.config.alpha: expected one value, found the key twice");
}

TEST(Json, OneKeyInTwoObjectsIsNoRepetition) {
    EXPECT_EQ(refusal_with(R"("name": "s", "activation": {"class_name": "ELU", "config": {"name": "e"}})"), "accepted");
}

TEST(Json, EndlessNestingOfListsIsRefused) {
    EXPECT_EQ(refusal(std::string(1000000, '[')), "layer.json: expected JSON nested at most 64 deep, found more");
}

TEST(Json, EndlessNestingOfObjectsIsRefused) {
    std::string nested;
    for (int i = 0; i < 100000; ++i) nested += R"({"a":)";
    EXPECT_EQ(refusal(nested), "layer.json: expected JSON nested at most 64 deep, found more");
}

TEST(Json, EnormousTextIsRefusedUnread) {
    EXPECT_EQ(refusal(std::string(100 << 20, '[')), "layer.json: expected at most 16777216 bytes of JSON, found 104857600");
}

TEST(Json, ByteOrderMarkIsSkipped) {
    EXPECT_EQ(refusal("\xef\xbb\xbf"
                      R"({"filters": 4, "kernel_size": 3})"),
              "accepted");
}

// Bookkeeping, dtype and what Keras 2 writes besides

TEST(Dtype, Float32IsTakenInSilence) { EXPECT_THAT(remarks(R"("dtype": "float32")"), IsEmpty()); }

TEST(Dtype, Float32PolicyIsTakenInSilence) {
    EXPECT_THAT(
        remarks(R"("dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": null})"),
        IsEmpty());
}

TEST(Dtype, IsFloat32WhereNoneIsNamed) {
    EXPECT_EQ(parsed(R"("padding": "same")").dtype, Dtype::float32);
    EXPECT_EQ(parsed(R"("dtype": null)").dtype, Dtype::float32);
}

// Every way in which either Keras writes them.
const char *const half_precision[] = {
    R"("dtype": "float16")",
    R"("dtype": "mixed_float16")",
    R"("dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float16"}, "registered_name": null})",
    R"("dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_float16"}, "registered_name": null})",
    R"("dtype": {"class_name": "Policy", "config": {"name": "mixed_float16"}})",
};

TEST(Dtype, HalfPrecisionIsFloat16) {
    for (const char *dtype : half_precision) EXPECT_EQ(parsed(dtype).dtype, Dtype::float16) << dtype;
}

TEST(Dtype, HalfPrecisionIsTakenInSilence) {
    for (const char *dtype : half_precision) EXPECT_THAT(remarks(dtype), IsEmpty()) << dtype;
}

TEST(Dtype, AnotherFloatingPointTypeIsFloat32WithARemark) {
    for (const std::string dtype : {"bfloat16", "mixed_bfloat16", "float64"}) {
        const std::string argument = R"("dtype": ")" + dtype + "\"";
        EXPECT_EQ(parsed(argument).dtype, Dtype::float32) << dtype;
        EXPECT_THAT(remarks(argument),
                    ElementsAre("layer.json: dtype: " + dtype + "; the weights are converted to float32 and the layer computes in it"));
    }
}

TEST(Dtype, MixedPolicyOfKeras2InBfloat16IsTakenWithARemark) {
    EXPECT_THAT(remarks(R"("dtype": {"class_name": "Policy", "config": {"name": "mixed_bfloat16"}})"),
                ElementsAre(HasSubstr("dtype: mixed_bfloat16")));
}

TEST(Dtype, HasTheNameThatKerasGivesIt) {
    EXPECT_EQ(name(Dtype::float32), "float32");
    EXPECT_EQ(name(Dtype::float16), "float16");
}

TEST(Dtype, IsWrittenAsItWasRead) {
    EXPECT_EQ(json::parse(to_json(parsed(R"("dtype": "float32")")))["dtype"], "float32");
    EXPECT_EQ(json::parse(to_json(parsed(R"("dtype": "mixed_float16")")))["dtype"], "float16");
}

TEST(Dtype, NonsenseIsRefused) {
    EXPECT_EQ(
        refusal_with(R"("dtype": "float31")"),
        "layer.json: dtype: expected one of float32, float16, bfloat16, float64, mixed_float16 and mixed_bfloat16, found \"float31\"");
}

TEST(Dtype, NonsenseInAPolicyIsRefusedByItsPath) {
    EXPECT_THAT(refusal_with(R"("dtype": {"class_name": "DTypePolicy", "config": {"name": "int8"}})"),
                StartsWith("layer.json: dtype.config.name: expected one of float32"));
}

TEST(Dtype, QuantisedPolicyIsRefused) {
    EXPECT_THAT(refusal_with(R"("dtype": {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "float32"}})"),
                EndsWith("found \"QuantizedDTypePolicy\" (quantised weights are not supported)"));
}

TEST(Dtype, NumberIsRefused) {
    EXPECT_EQ(refusal_with(R"("dtype": 32)"), "layer.json: dtype: expected a floating-point dtype or a serialised DTypePolicy, found 32");
}

TEST(Bookkeeping, BatchInputShapeOfRankFourIsTaken) { EXPECT_EQ(refusal_with(R"("batch_input_shape": [null, 64, 64, 1])"), "accepted"); }

TEST(Bookkeeping, BatchShapeOfRankThreeIsRefused) {
    EXPECT_EQ(refusal_with(R"("batch_shape": [null, 64, 64])"),
              "layer.json: batch_shape: expected null or a list of 4 extents, null where one is open, found [null, 64, 64]");
}

TEST(Keras2Extras, OneGroupIsTaken) { EXPECT_EQ(refusal_with(R"("groups": 1)"), "accepted"); }

TEST(Keras2Extras, TwoGroupsAreRefused) { EXPECT_EQ(refusal_with(R"("groups": 2)"), "layer.json: groups: expected 1, found 2"); }

TEST(Keras2Extras, FractionalGroupIsRefused) { EXPECT_EQ(refusal_with(R"("groups": 1.0)"), "layer.json: groups: expected 1, found 1.0"); }

TEST(Keras2Extras, KernelInitializerIsTakenAndDropped) {
    EXPECT_THAT(parsed(R"("kernel_initializer": {"class_name": "Zeros", "config": {}})").training, IsEmpty());
}

TEST(Keras2Extras, KernelRegularizerMustBeNull) {
    EXPECT_EQ(refusal_with(R"("kernel_regularizer": "l2")"),
              "layer.json: kernel_regularizer: expected null, found \"l2\" (the layer has one for its depthwise and one for its pointwise "
              "kernel)");
}

TEST(Keras2Extras, KernelConstraintMustBeNull) {
    EXPECT_THAT(refusal_with(R"("kernel_constraint": "max_norm")"), StartsWith("layer.json: kernel_constraint: expected null, found"));
}

// Initializers, regularizers, constraints

TEST(Training, NamesAreKeptAsJson) {
    EXPECT_EQ(parsed(R"("depthwise_initializer": "he_normal")").training.at("depthwise_initializer"), "\"he_normal\"");
}

TEST(Training, ObjectsAreKeptAsJson) {
    EXPECT_EQ(json::parse(parsed(R"("bias_regularizer": {"class_name": "L2", "config": {"l2": 0.5}})").training.at("bias_regularizer")),
              json::parse(R"({"class_name": "L2", "config": {"l2": 0.5}})"));
}

TEST(Training, NullIsKept) { EXPECT_EQ(parsed(R"("bias_constraint": null)").training.at("bias_constraint"), "null"); }

TEST(Training, UnknownInitializerIsRefusedWithASuggestion) {
    EXPECT_EQ(refusal_with(R"("depthwise_initializer": "he_norml")"),
              "layer.json: depthwise_initializer: expected the name of a Keras initializer, a serialised one or null, "
              "found \"he_norml\"; did you mean \"he_normal\"?");
}

TEST(Training, NameOfAnotherKindIsRefused) {
    EXPECT_THAT(refusal_with(R"("bias_constraint": "l2")"),
                StartsWith("layer.json: bias_constraint: expected the name of a Keras constraint"));
}

TEST(Training, ObjectWithoutClassNameIsRefused) {
    EXPECT_EQ(refusal_with(R"("activity_regularizer": {"config": {}})"),
              "layer.json: activity_regularizer: expected a serialised regularizer with a class_name, found {\"config\": {}}");
}

TEST(Training, NumberIsRefused) {
    EXPECT_THAT(refusal_with(R"("pointwise_regularizer": 0.01)"), EndsWith("a serialised one or null, found 0.01"));
}

TEST(Training, NamesOfKeras2BecomeThoseOfKeras3) {
    EXPECT_EQ(parsed(R"("depthwise_constraint": "maxnorm")").training.at("depthwise_constraint"), "\"max_norm\"");
}

TEST(Training, SecondVersionsOfKeras2InitializersAreTheFirst) {
    EXPECT_EQ(parsed(R"("depthwise_initializer": "glorot_uniformV2")").training.at("depthwise_initializer"), "\"glorot_uniform\"");
}

// Whole configs

// Keras 2.0.5, as it stands in the emotion model of the package fer.
constexpr std::string_view early_config = R"({
    "activation": "linear", "activity_regularizer": null, "bias_constraint": null, "bias_initializer": {"class_name": "Zeros", "config": {}},
    "bias_regularizer": null, "data_format": "channels_last", "depth_multiplier": 1, "depthwise_constraint": null,
    "depthwise_initializer": {"class_name": "VarianceScaling", "config":
        {"distribution": "uniform", "mode": "fan_avg", "scale": 1.0, "seed": null}},
    "depthwise_regularizer": {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.009999999776482582}}, "dilation_rate": [1, 1],
    "filters": 16, "kernel_constraint": null, "kernel_initializer": {"class_name": "VarianceScaling", "config":
        {"distribution": "uniform", "mode": "fan_avg", "scale": 1.0, "seed": null}},
    "kernel_regularizer": null, "kernel_size": [3, 3], "name": "separable_conv2d_1", "padding": "same", "pointwise_constraint": null,
    "pointwise_initializer": {"class_name": "VarianceScaling", "config":
        {"distribution": "uniform", "mode": "fan_avg", "scale": 1.0, "seed": null}},
    "pointwise_regularizer": null, "strides": [1, 1], "trainable": true, "use_bias": false})";

TEST(KerasConfigs, ThoseOfKeras20AreRead) {
    const LayerConfig config = parse_config(early_config, context(KerasVersion::keras2));
    EXPECT_EQ(config.filters, 16);
    EXPECT_EQ(config.padding, Padding::same);
    EXPECT_FALSE(config.use_bias);
    EXPECT_EQ(config.name, "separable_conv2d_1");
}

struct KerasCase {
    KerasVersion version;
    json config, activation;
    std::string call;
};

// Every get_config() in configs.json, which make_configs.py had from Keras itself.
std::vector<KerasCase> keras_cases() {
    std::ifstream file(SEPCONV_TEST_DATA "/runtime/configs.json");
    std::vector<KerasCase> cases;
    for (const json &keras : json::parse(file)) {
        for (const json &one : keras["cases"]) {
            json config = keras["plain"];
            config.update(one["differs"]);
            cases.push_back({keras["keras"] == 2 ? KerasVersion::keras2 : KerasVersion::keras3, config, one["activation"], one["call"]});
        }
    }
    return cases;
}

TEST(KerasConfigs, ArgumentsAreReadAsKerasWroteThem) {
    for (const KerasCase &one : keras_cases()) {
        SCOPED_TRACE(one.call);
        const LayerConfig config = parse_config(one.config.dump(), context(one.version));
        EXPECT_EQ(config.name, one.config["name"]);
        EXPECT_EQ(config.trainable, one.config["trainable"]);
        EXPECT_EQ(config.filters, one.config["filters"]);
        EXPECT_EQ(json(config.kernel_size), one.config["kernel_size"]);
        EXPECT_EQ(json(config.strides), one.config["strides"]);
        EXPECT_EQ(config.padding == Padding::same ? "same" : "valid", one.config["padding"]);
        EXPECT_EQ(config.data_format == DataFormat::channels_first ? "channels_first" : "channels_last", one.config["data_format"]);
        EXPECT_EQ(json(config.dilation_rate), one.config["dilation_rate"]);
        EXPECT_EQ(config.depth_multiplier, one.config["depth_multiplier"]);
        EXPECT_EQ(config.use_bias, one.config["use_bias"]);
        EXPECT_EQ(json::parse(config.training.at("activity_regularizer")), one.config["activity_regularizer"]);
        EXPECT_EQ(config.training.size(), 10U);
    }
}

TEST(KerasConfigs, ActivationsAreReadAsKerasMeantThem) {
    for (const KerasCase &one : keras_cases()) {
        SCOPED_TRACE(one.call);
        const Activation activation = parse_config(one.config.dump(), context(one.version)).activation;
        const bool old_hard_sigmoid = activation.kind == ActivationKind::hard_sigmoid_keras2;
        EXPECT_EQ(old_hard_sigmoid ? "hard_sigmoid_keras2" : name(activation.kind), one.activation[0]);
        float parameters[3] = {};
        std::vector<int> axes = {-1};
        for (std::size_t i = 1; i < one.activation.size(); ++i) {
            const json &value = one.activation[i];
            if (value.is_object()) {
                axes = value["axes"].get<std::vector<int>>();
            } else {
                parameters[i - 1] = value.is_null() ? std::numeric_limits<float>::infinity() : value.get<float>();
            }
        }
        EXPECT_EQ(activation.a, parameters[0]);
        EXPECT_EQ(activation.b, parameters[1]);
        EXPECT_EQ(activation.c, parameters[2]);
        EXPECT_EQ(activation.axes, axes);
    }
}

TEST(KerasConfigs, HaveTheirDtype) {
    int half = 0;
    for (const KerasCase &one : keras_cases()) {
        SCOPED_TRACE(one.call);
        const bool float16 = one.call == "{'dtype': 'float16'}" || one.call == "{'dtype': 'mixed_float16'}";
        EXPECT_EQ(parse_config(one.config.dump(), context(one.version)).dtype, float16 ? Dtype::float16 : Dtype::float32);
        half += float16 ? 1 : 0;
    }
    EXPECT_EQ(half, 4);  // two of each Keras
}

TEST(RoundTrip, EveryConfigOfKerasComesBackEqual) {
    for (const KerasCase &one : keras_cases()) {
        SCOPED_TRACE(one.call);
        const LayerConfig config = parse_config(one.config.dump(), context(one.version));
        EXPECT_EQ(parse_config(to_json(config), context()), config);
    }
}

TEST(RoundTrip, NothingOfTheJsonDependsOnTheContext) {
    LayerConfig config = valid_config();
    config.data_format = DataFormat::channels_first;
    EXPECT_EQ(parse_config(to_json(config), context(KerasVersion::keras2)), config);
}

TEST(RoundTrip, NamesAreEscaped) {
    LayerConfig config = valid_config();
    config.name = "a\"b\\\n\xc3\xa9";
    EXPECT_EQ(parse_config(to_json(config), context()).name, config.name);
}

TEST(RoundTrip, NameThatIsNoUtf8IsAnErrorNotGarbage) {
    LayerConfig config = valid_config();
    config.name = "\xff";
    EXPECT_THROW(to_json(config), ConfigError);
}

// validate

TEST(Validate, DefaultConfigLacksItsFilters) { EXPECT_EQ(refusal_of(LayerConfig{}), "filters: expected a positive integer, found 0"); }

TEST(Validate, ValuesBeyondThirtyTwoBitsAreRefused) {
    LayerConfig config = valid_config();
    config.kernel_size = {3, std::int64_t(1) << 40};
    EXPECT_EQ(refusal_of(config), "kernel_size: expected at most 2147483647, found [3, 1099511627776]");
}

TEST(Validate, NegativeStrideIsRefused) {
    LayerConfig config = valid_config();
    config.strides = {1, -1};
    EXPECT_EQ(refusal_of(config), "strides: expected two positive integers, found [1, -1]");
}

TEST(Validate, PaddingOutsideTheEnumerationIsRefused) {
    LayerConfig config = valid_config();
    config.padding = static_cast<Padding>(7);
    EXPECT_EQ(refusal_of(config), "padding: expected Padding::valid or same, found 7");
}

TEST(Validate, DtypeOutsideTheEnumerationIsRefused) {
    LayerConfig config = valid_config();
    config.dtype = static_cast<Dtype>(2);
    EXPECT_EQ(refusal_of(config), "dtype: expected Dtype::float32 or float16, found 2");
}

TEST(Validate, UnknownTrainingArgumentIsRefused) {
    LayerConfig config = valid_config();
    config.training["optimizer"] = "null";
    EXPECT_THAT(refusal_of(config), StartsWith("\"optimizer\": expected an initializer, regularizer or constraint of the layer"));
}

TEST(Validate, TrainingTextThatIsNoJsonIsRefused) {
    LayerConfig config = valid_config();
    config.training["bias_initializer"] = "zeros";
    EXPECT_EQ(refusal_of(config), "bias_initializer: expected JSON, found 'z' at line 1, column 1");
}

TEST(Validate, OddFiltersUnderGluAreRefused) {
    LayerConfig config = valid_config();
    config.filters = 3;
    config.activation = default_activation(ActivationKind::glu);
    EXPECT_EQ(refusal_of(config), "filters: expected an even number, which the activation glu halves, found 3");
}

TEST(Validate, OddFiltersUnderGluAlongTheColumnsAreFine) {
    LayerConfig config = valid_config();
    config.filters = 3;
    config.data_format = DataFormat::channels_first;
    config.activation = default_activation(ActivationKind::glu);
    EXPECT_EQ(refusal_of(config), "accepted");
}

TEST(Validate, MessagesFromParsingNameTheSource) {
    EXPECT_EQ(refusal(R"({"filters": 3, "kernel_size": 3, "activation": "glu"})"),
              "layer.json: filters: expected an even number, which the activation glu halves, found 3");
}

// fit_window

MATCHER_P2(Fits, output, before, "") { return arg.output == output && arg.before == before; }

TEST(Padding, ValidLeavesNoPartialWindow) { EXPECT_THAT(fit_window(10, 3, 3, 1, Padding::valid), Fits(3, 0)); }

TEST(Padding, ValidWindowAsLargeAsTheImageFitsOnce) { EXPECT_THAT(fit_window(5, 3, 1, 2, Padding::valid), Fits(1, 0)); }

TEST(Padding, ValidWindowLargerThanTheImageFitsNowhere) { EXPECT_THAT(fit_window(4, 3, 1, 2, Padding::valid), Fits(0, 0)); }

TEST(Padding, SameKeepsTheSize) { EXPECT_THAT(fit_window(7, 3, 1, 1, Padding::same), Fits(7, 1)); }

TEST(Padding, SameWithEvenHeightAndStrideTwoPadsBelowOnly) { EXPECT_THAT(fit_window(8, 3, 2, 1, Padding::same), Fits(4, 0)); }

TEST(Padding, SameWithOddHeightAndStrideTwoPadsBothSides) { EXPECT_THAT(fit_window(7, 3, 2, 1, Padding::same), Fits(4, 1)); }

TEST(Padding, SameWithEvenKernelPadsLessAbove) { EXPECT_THAT(fit_window(8, 4, 1, 1, Padding::same), Fits(8, 1)); }

TEST(Padding, SameWithStrideBeyondTheKernelPadsNothing) { EXPECT_THAT(fit_window(9, 2, 4, 1, Padding::same), Fits(3, 0)); }

TEST(Padding, SameWindowMayBeFarLargerThanTheImage) { EXPECT_THAT(fit_window(2, 5, 1, 10, Padding::same), Fits(2, 20)); }

TEST(Padding, AgreesWithTheFormulaForEverySmallCase) {
    for (std::int64_t input = 1; input < 12; ++input)
        for (std::int64_t kernel = 1; kernel < 6; ++kernel)
            for (std::int64_t stride = 1; stride < 5; ++stride)
                for (std::int64_t dilation = 1; dilation < 4; ++dilation) {
                    const std::int64_t span = (kernel - 1) * dilation + 1;
                    const std::int64_t same = (input + stride - 1) / stride;
                    const std::int64_t pad = std::max<std::int64_t>(0, (same - 1) * stride + span - input);
                    ASSERT_THAT(fit_window(input, kernel, stride, dilation, Padding::same), Fits(same, pad / 2));
                    const std::int64_t valid = span > input ? 0 : (input - span) / stride + 1;
                    ASSERT_THAT(fit_window(input, kernel, stride, dilation, Padding::valid), Fits(valid, 0));
                }
}

TEST(Padding, HugeExtentsAreExact) {
    constexpr std::int64_t huge = std::int64_t(1) << 62;
    EXPECT_THAT(fit_window(huge, 3, 2, 1, Padding::same), Fits(huge / 2, 0));
    EXPECT_THAT(fit_window(huge, 3, 1, 1, Padding::valid), Fits(huge - 2, 0));
}

TEST(Padding, WindowBeyondSixtyThreeBitsFitsNowhere) {
    constexpr std::int64_t huge = std::int64_t(1) << 62;
    EXPECT_THAT(fit_window(huge, huge, 1, huge, Padding::valid), Fits(0, 0));
}

TEST(Padding, NoSizeFitsNothing) { EXPECT_THAT(fit_window(0, 3, 1, 1, Padding::same), Fits(0, 0)); }

TEST(Padding, StrideOfZeroFitsNothing) { EXPECT_THAT(fit_window(5, 3, 0, 1, Padding::same), Fits(0, 0)); }

// output_shape

std::string shape_refusal(const LayerConfig &config, const Shape &input) {
    try {
        output_shape(config, input);
    } catch (const ShapeError &error) {
        return error.what();
    }
    return "accepted";
}

TEST(OutputShape, FollowsTheWindow) { EXPECT_THAT(output_shape(valid_config(), {2, 10, 7, 3}), ElementsAre(2, 8, 5, 4)); }

TEST(OutputShape, PutsFiltersSecondForChannelsFirst) {
    LayerConfig config = valid_config();
    config.data_format = DataFormat::channels_first;
    EXPECT_THAT(output_shape(config, {2, 3, 10, 7}), ElementsAre(2, 4, 8, 5));
}

TEST(OutputShape, TakesAnEmptyBatch) { EXPECT_THAT(output_shape(valid_config(), {0, 10, 7, 3}), ElementsAre(0, 8, 5, 4)); }

TEST(OutputShape, RefusesANegativeBatch) {
    EXPECT_EQ(shape_refusal(valid_config(), {-1, 10, 7, 3}),
              "input: expected positive extents (N, H, W, C), N may be 0, found (-1, 10, 7, 3)");
}

TEST(OutputShape, RefusesNoChannels) {
    EXPECT_EQ(shape_refusal(valid_config(), {1, 10, 7, 0}),
              "input: expected positive extents (N, H, W, C), N may be 0, found (1, 10, 7, 0)");
}

TEST(OutputShape, RefusesAValidWindowLargerThanTheImage) {
    LayerConfig config = valid_config();
    config.dilation_rate = {1, 4};
    EXPECT_EQ(shape_refusal(config, {1, 10, 7, 3}),
              "input: expected at least 9 columns, the extent of a valid window, found 7 in (N, H, W, C) (1, 10, 7, 3)");
}

TEST(OutputShape, GluHalvesTheFilters) {
    LayerConfig config = valid_config();
    config.activation = default_activation(ActivationKind::glu);
    EXPECT_THAT(output_shape(config, {1, 10, 7, 3}), ElementsAre(1, 8, 5, 2));
}

TEST(OutputShape, GluHalvesTheColumnsForChannelsFirst) {
    LayerConfig config = valid_config();
    config.data_format = DataFormat::channels_first;
    config.activation = default_activation(ActivationKind::glu);
    EXPECT_THAT(output_shape(config, {1, 3, 7, 10}), ElementsAre(1, 4, 5, 4));
}

TEST(OutputShape, RefusesOddColumnsUnderGlu) {
    LayerConfig config = valid_config();
    config.data_format = DataFormat::channels_first;
    config.activation = default_activation(ActivationKind::glu);
    EXPECT_EQ(shape_refusal(config, {1, 3, 10, 7}), "output: expected an even extent of axis 3, which glu halves, found 5 in (1, 4, 8, 5)");
}

TEST(OutputShape, RefusesAnAxisThatTheOutputLacks) {
    LayerConfig config = valid_config();
    config.activation = default_activation(ActivationKind::softmax);
    config.activation.axes = {4};
    EXPECT_THAT(shape_refusal(config, {1, 10, 7, 3}), HasSubstr("expected axes from -4 to 3, for an output of rank 4, found [4]"));
}

TEST(OutputShape, RefusesAnInputThatCannotBeAddressed) {
    constexpr std::int64_t huge = std::int64_t(1) << 62;
    EXPECT_THAT(shape_refusal(valid_config(), {1, huge, 7, 3}), StartsWith("input: expected a shape whose size in bytes fits 63 bits"));
}

TEST(OutputShape, RefusesAnOutputThatCannotBeAddressed) {
    LayerConfig config = valid_config();
    config.filters = std::numeric_limits<std::int32_t>::max();
    EXPECT_THAT(shape_refusal(config, {1, std::int64_t(1) << 40, 7, 1}), StartsWith("output: expected a shape whose size in bytes"));
}

TEST(OutputShape, RefusesAnEmptyBatchOfImagesThatCannotBeAddressed) {
    constexpr std::int64_t huge = std::int64_t(1) << 40;
    EXPECT_THAT(shape_refusal(valid_config(), {0, huge, huge, 3}), StartsWith("input: expected a shape whose size in bytes"));
}

}  // namespace
}  // namespace sepconv
