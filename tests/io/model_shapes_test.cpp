// Where the walk over a model's layers stops and what it then says, and configs that no Keras writes. That the shapes are Keras' own is
// held by tests/golden/shapes_test.cpp.
#include "model_shapes.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "scratch.h"
#include "sepconv/error.h"

namespace sepconv::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// A layer of a graph; `calls` are its inbound_nodes.
std::string layer(const std::string &class_name, const std::string &name, const std::string &config = "", const std::string &calls = "") {
    return fmt::format(R"({{"class_name": "{}", "name": "{}", "config": {{"name": "{}"{}{}}}, "inbound_nodes": [{}]}})", class_name, name,
                       name, config.empty() ? "" : ", ", config, calls);
}

// One call as Keras 2 writes it, on the first output of another layer's first call.
std::string on(const std::string &name, int node = 0, int tensor = 0) {
    return fmt::format(R"([["{}", {}, {}, {{}}]])", name, node, tensor);
}

// The same as Keras 3 writes it, with the shape that it stores.
std::string on_recorded(const std::string &name, const std::string &shape) {
    return fmt::format(
        R"({{"args": [{{"class_name": "__keras_tensor__", "config": {{"shape": {}, "keras_history": ["{}", 0, 0]}}}}], "kwargs": {{}}}})",
        shape, name);
}

std::string separable(const std::string &name, const std::string &calls = "", const std::string &more = "") {
    return layer("SeparableConv2D", name, R"("filters": 4, "kernel_size": 1)" + more, calls);
}

std::string input(const std::string &shape = "[null, 8, 9, 3]", const std::string &name = "in") {
    return layer("InputLayer", name, R"("batch_input_shape": )" + shape);
}

std::string graph(const std::string &layers, const std::string &inputs = R"(["in", 0, 0])", const std::string &outputs = "",
                  const std::string &name = "m", const std::string &calls = "") {
    return layer("Functional", name, fmt::format(R"("layers": [{}], "input_layers": [{}], "output_layers": [{}])", layers, inputs, outputs),
                 calls);
}

std::string chain(const std::string &layers, const std::string &more = "", const std::string &name = "m") {
    return layer("Sequential", name, fmt::format(R"("layers": [{}]{})", layers, more));
}

std::vector<ReachedShape> shapes(const std::string &model, const std::optional<Extents> &given = {}) {
    return input_shapes(parse_model_config(model, "m.json"), given, "m.json");
}

// That of the only separable convolution.
Extents shape(const std::string &model, const std::optional<Extents> &given = {}) {
    const std::vector<ReachedShape> all = shapes(model, given);
    EXPECT_EQ(all.size(), 1u);
    EXPECT_EQ(all.front().reason, "");
    return all.front().shape;
}

std::string reason(const std::string &model, const std::optional<Extents> &given = {}) {
    const std::vector<ReachedShape> all = shapes(model, given);
    EXPECT_THAT(all.back().shape, IsEmpty());
    return all.back().reason;
}

// A separable convolution behind one other layer.
std::string behind(const std::string &class_name, const std::string &config, const std::string &image = "[null, 8, 9, 3]") {
    return chain(input(image) + "," + layer(class_name, "it", config) + "," + separable("a"));
}

TEST(ModelShapes, ALayerThatIsNotKerasOwnEndsTheWalkAndIsNamed) {
    const std::vector<ReachedShape> all =
        shapes(chain(input() + "," + separable("a") + "," + layer("Lambda", "crop") + "," + separable("b")));
    EXPECT_THAT(all[0].shape, ElementsAre(-1, 8, 9, 3));
    EXPECT_EQ(all[1].reason, "Lambda 'crop' is no stock layer whose output shape is known");
    EXPECT_THAT(all[1].shape, IsEmpty());
}

TEST(ModelShapes, TheModelsAroundALayerAreNamed) {
    const std::string inner = chain(chain(layer("Lambda", "crop") + "," + separable("a"), "", "deep"), "", "inner");
    EXPECT_THAT(reason(chain(input() + "," + inner)), StartsWith("Lambda 'crop' in 'inner/deep' is no stock layer"));
}

TEST(ModelShapes, ALayerInAClassOfTheUsersOwnHasThatClassForReason) {
    const std::string own = layer("MyBlock", "block", R"("layers": [)" + separable("a") + "]");
    EXPECT_THAT(reason(chain(input() + "," + own)), StartsWith("MyBlock 'block' is no stock layer"));
    EXPECT_THAT(reason(layer("MyModel", "m", R"("layers": [)" + separable("a") + "]")), StartsWith("MyModel 'm' is no stock layer"));
}

TEST(ModelShapes, AClassOfTheUsersOwnMayHaveAStockLayersName) {
    const std::string own = R"({"module": "mine", "class_name": "ReLU", "registered_name": "mine>ReLU", "config": {"name": "r"}})";
    EXPECT_THAT(reason(chain(input() + "," + own + "," + separable("a"))), StartsWith("ReLU 'r' is no stock layer"));
}

TEST(ModelShapes, AModelOfTheUsersOwnClassThatIsAGraphIsWalked) {
    const std::string layers = input() + "," + separable("a", on("in"));
    EXPECT_THAT(shape(layer("MyTrainer", "m", R"("layers": [)" + layers + R"(], "input_layers": [["in", 0, 0]])")),
                ElementsAre(-1, 8, 9, 3));
}

TEST(ModelShapes, TheShapesThatKeras3StoresLeadOnBehindAnUnknownLayer) {
    const std::string layers = input() + "," + layer("Lambda", "crop", "", on_recorded("in", "[null, 8, 9, 3]")) + "," +
                               separable("a", on_recorded("crop", "[null, 4, null, 3]"));
    EXPECT_THAT(shape(graph(layers)), ElementsAre(-1, 4, -1, 3));
    EXPECT_THAT(reason(graph(layers), Extents{1, 8, 9, 3}), StartsWith("Lambda 'crop' is no stock layer"));
}

TEST(ModelShapes, AnotherInputTakesThePlaceOfTheStoredOne) {
    EXPECT_THAT(shape(chain(input() + "," + separable("a")), Extents{2, -1, 7, 5}), ElementsAre(2, -1, 7, 5));
    EXPECT_THAT(shape(graph(input() + "," + separable("a", on("in"))), Extents{2, -1, 7, 5}), ElementsAre(2, -1, 7, 5));
}

TEST(ModelShapes, AChainThatWasNeverBuiltNeedsAnInput) {
    EXPECT_EQ(reason(chain(separable("a"))), "the model stores no shape of its input");
    EXPECT_THAT(shape(chain(separable("a")), Extents{1, 2, 3, 4}), ElementsAre(1, 2, 3, 4));
}

TEST(ModelShapes, AChainsInputMayStandInItsFirstLayerInTheModelOrInAModelInIt) {
    const std::string image = R"(, "batch_input_shape": [null, 5, 6, 7])";
    EXPECT_THAT(shape(chain(separable("a", "", image))), ElementsAre(-1, 5, 6, 7));
    EXPECT_THAT(shape(chain(separable("a"), R"(, "build_input_shape": [null, 5, 6, 7])")), ElementsAre(-1, 5, 6, 7));
    EXPECT_THAT(shape(chain(chain(separable("a", "", image), "", "inner"))), ElementsAre(-1, 5, 6, 7));
    EXPECT_THAT(shape(R"({"class_name": "Sequential", "config": [)" + separable("a", "", image) + "]}"), ElementsAre(-1, 5, 6, 7));
}

TEST(ModelShapes, SeveralInputsAreTakenAsStored) {
    const std::string layers =
        input("[null, 8, 9, 3]", "x") + "," + input("[null, 4, 5, 6]", "y") + "," + separable("a", on("x")) + "," + separable("b", on("y"));
    const std::string model = graph(layers, R"(["x", 0, 0], ["y", 0, 0])");
    EXPECT_THAT(shapes(model)[1].shape, ElementsAre(-1, 4, 5, 6));
    EXPECT_EQ(message_of<ShapeError>([&] { shapes(model, Extents{1, 8, 9, 3}); }),
              "m.json: model_input: expected none, because the model has 2 inputs, found (1, 8, 9, 3)");
}

TEST(ModelShapes, AnInputThatCannotBeIsRefused) {
    const std::string model = chain(input() + "," + separable("a"));
    const auto error = [&](const Extents &given) { return message_of<ShapeError>([&] { shapes(model, given); }); };
    EXPECT_EQ(error({8, 9, 3}), "m.json: model_input: expected 4 dimensions, as (-1, 8, 9, 3) that the model stores, found (8, 9, 3)");
    for (const Extents &given : {Extents{}, Extents{1, 0, 9, 3}, Extents{-2, 8, 9, 3}, Extents(17, 1)}) {
        EXPECT_THAT(error(given), HasSubstr("expected extents of at least 1, or -1 for an open one"));
    }
}

TEST(ModelShapes, ALayerThatIsCalledWithSeveralShapesHasThemForReason) {
    const std::string calls = on("in") + "," + on("a", 0) + "," + on("a", 1);
    EXPECT_EQ(reason(graph(input("[null, 8, 9, 4]") + "," + separable("a", calls, R"(, "strides": 2)"))),
              "it is called with several shapes: (-1, 8, 9, 4), (-1, 4, 5, 4), (-1, 2, 3, 4)");
    EXPECT_THAT(shape(graph(input("[null, 8, 9, 4]") + "," + separable("a", calls))), ElementsAre(-1, 8, 9, 4));
}

TEST(ModelShapes, AnInnerModelsCallsCountFromOneWhereKerasCountsItsMaking) {
    const std::string inner = graph(input() + "," + layer("ReLU", "r", "", on("in")), R"(["in", 0, 0])", R"(["r", 0, 0])", "inner",
                                    on("image") + "," + on("inner", 1));
    const auto outer = [&](int last) {
        return graph(input("[null, 2, 2, 2]", "image") + "," + inner + "," + separable("a", on("inner", last)), R"(["image", 0, 0])");
    };
    EXPECT_THAT(shape(outer(2)), ElementsAre(-1, 2, 2, 2));
    EXPECT_EQ(reason(outer(3)), "Functional 'inner' has no call 3");
}

TEST(ModelShapes, ALayerThatNothingCallsSaysSo) {
    EXPECT_EQ(reason(graph(input() + "," + separable("a"))), "the model's config has no call of it");
}

TEST(ModelShapes, WhatACallNamesMustBeThere) {
    const auto called_on = [](const std::string &call) { return reason(graph(input() + "," + separable("a", call))); };
    EXPECT_EQ(called_on(on("other")), "SeparableConv2D 'a' takes an output of 'other', which the model does not have");
    EXPECT_EQ(called_on(on("in", 1)), "InputLayer 'in' has no call 1");
    EXPECT_EQ(called_on(R"([["in", -9223372036854775808, 0, {}]])"), "InputLayer 'in' has no call -9223372036854775808");
    EXPECT_EQ(called_on(on("in", 0, 1)), "InputLayer 'in' has no output 1 whose shape is known");
    EXPECT_EQ(called_on("[]"), "SeparableConv2D 'a': expected an input, found none");
    EXPECT_EQ(called_on(R"({"args": [{"class_name": "__keras_tensor__", "config": {}}]})"),
              "SeparableConv2D 'a' has a tensor without its history");
    EXPECT_EQ(reason(graph(input() + "," + separable("a", on("in")), R"(["other", 0, 0])")),
              "Functional 'm' has 'other' for an input or output, which is none of its layers");
    EXPECT_EQ(reason(graph(input() + "," + input() + "," + separable("a", on("in")))),
              "Functional 'm' has two layers that are called 'in'");
}

TEST(ModelShapes, AnInnerModelTakesAsManyInputsAsItHas) {
    const std::string inner =
        graph(input() + "," + separable("a", on("in")), R"(["in", 0, 0])", "", "inner", R"([["in", 0, 0, {}], ["in", 0, 0, {}]])");
    EXPECT_EQ(reason(graph(input() + "," + inner)), "Functional 'inner': expected 1 inputs, found 2");
}

TEST(ModelShapes, CallsThatGoRoundInACircleEndTheWalk) {
    const std::string layers = input() + "," + layer("ReLU", "x", "", on("y")) + "," + layer("ReLU", "y", "", on("x")) + ",";
    EXPECT_EQ(reason(graph(layers + separable("a", on("y")))), "SeparableConv2D 'a' takes its own output, by its inbound_nodes");
    EXPECT_EQ(reason(graph(input() + "," + separable("a", on("a")))), "SeparableConv2D 'a' takes its own output, by its inbound_nodes");
}

TEST(ModelShapes, ModelsThatCallOneAnotherTwiceAreWalkedWithinABound) {
    std::string inner =
        graph(input() + "," + separable("a", on("in")), R"(["in", 0, 0])", R"(["a", 0, 0])", "inner", on("in") + "," + on("inner", 1));
    for (int depth = 0; depth < 30; ++depth) {
        inner = graph(input() + "," + inner, R"(["in", 0, 0])", R"(["inner", 2, 0])", "inner", on("in") + "," + on("inner", 1));
    }
    EXPECT_EQ(reason(graph(input() + "," + inner + "," + separable("last", on("inner", 2)))),
              "the model has more than 100000 calls of layers");
}

TEST(ModelShapes, ExtentsThatNo64BitsHoldAreRefused) {
    const std::string huge = "4611686018427387904";
    for (const std::string &model :
         {behind("UpSampling2D", R"("size": [)" + huge + ", 1]"), behind("ZeroPadding2D", R"("padding": )" + huge),
          behind("Conv2DTranspose", R"("filters": 1, "kernel_size": 1, "strides": )" + huge),
          behind("Conv2DTranspose", R"("filters": 1, "padding": "same", "kernel_size": 1, "strides": )" + huge),
          behind("Flatten", "", fmt::format("[null, {}, {}, 3]", huge, huge)),
          behind("DepthwiseConv2D", R"("kernel_size": 1, "depth_multiplier": )" + huge)}) {
        EXPECT_THAT(reason(model), HasSubstr("its output has an extent that no 64 bits hold")) << model;
    }
}

TEST(ModelShapes, AnIntegerOfMoreThan63BitsIsNone) {
    EXPECT_THAT(reason(behind("UpSampling2D", R"("size": 18446744073709551615)")), HasSubstr("size: expected an integer of at least 1"));
    EXPECT_EQ(reason(chain(input("[null, 8, 18446744073709551615, 3]") + "," + separable("a"))), "the model stores no shape of its input");
}

TEST(ModelShapes, AnArgumentThatIsWrongIsNamed) {
    const auto wrong = [](const std::string &class_name, const std::string &config) { return reason(behind(class_name, config)); };
    EXPECT_EQ(wrong("Conv2D", R"("kernel_size": 3)"), "Conv2D 'it': filters: expected an integer of at least 1, found none");
    EXPECT_EQ(wrong("Conv2D", R"("filters": 1, "kernel_size": [1, 0])"),
              "Conv2D 'it': kernel_size: expected 2 integers of at least 1, found array");
    EXPECT_EQ(wrong("Conv2D", R"("filters": 1, "kernel_size": 3, "strides": 0)"),
              "Conv2D 'it': strides: expected an integer of at least 1, found 0");
    EXPECT_EQ(wrong("Conv2D", R"("filters": 1, "kernel_size": 3, "padding": "full")"),
              "Conv2D 'it': padding: expected valid, same or causal, found 'full'");
    EXPECT_EQ(wrong("MaxPooling2D", R"("pool_size": 2, "data_format": "first")"),
              "MaxPooling2D 'it': data_format: expected channels_first or channels_last, found 'first'");
    EXPECT_EQ(wrong("ZeroPadding2D", R"("padding": [1, 2, 3])"),
              "ZeroPadding2D 'it': padding: expected padding of 2 dimensions, found array");
    EXPECT_EQ(wrong("Permute", R"("dims": [1, 1, 2])"), "Permute 'it': dims: expected each of 3 dimensions once, found array");
    EXPECT_EQ(wrong("Reshape", R"("target_shape": [-1, -1])"),
              "Reshape 'it': target_shape: expected integers, at most one of them -1, found -1");
    EXPECT_EQ(wrong("Concatenate", R"("axis": 4)"), "Concatenate 'it': axis: expected one of 4 dimensions, found 4");
    EXPECT_EQ(wrong("EinsumDense", R"("equation": "ab")"), "EinsumDense 'it': equation: expected input,kernel->output, found 'ab'");
}

TEST(ModelShapes, AShapeThatALayerCannotTakeIsShown) {
    EXPECT_EQ(reason(behind("Conv1D", R"("filters": 1, "kernel_size": 1)")),
              "Conv1D 'it': expected an input of 3 dimensions, found (-1, 8, 9, 3)");
    EXPECT_EQ(reason(behind("Conv2D", R"("filters": 1, "kernel_size": 5, "dilation_rate": 2)")),
              "Conv2D 'it': a window of 5 with dilation 2 does not fit 8");
    EXPECT_EQ(reason(behind("Cropping2D", R"("cropping": [[0, 0], [4, 5]])")), "Cropping2D 'it': cropping: expected less than 9, found 9");
    EXPECT_EQ(reason(behind("Reshape", R"("target_shape": [-1, 5])")),
              "Reshape 'it': target_shape: expected 216 values in all, found (-1, 5)");
    EXPECT_EQ(reason(behind("Reshape", R"("target_shape": [216, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])")),
              "Reshape 'it': expected an output of at most 16 dimensions, found 17");
    EXPECT_EQ(reason(behind("Flatten", "")), "SeparableConv2D 'a': expected an input of 4 dimensions, found (-1, 216)");
    EXPECT_EQ(reason(chain(input("[null, 8]") + "," + layer("TimeDistributed", "td", R"("layer": )" + separable("a")))),
              "TimeDistributed 'td': expected an input of 3 dimensions or more, found (-1, 8)");
}

TEST(ModelShapes, InputsThatDoNotMeetAreShown) {
    const auto joined = [](const std::string &class_name) {
        return reason(graph(input() + "," + separable("b", on("in")) + "," +
                            layer(class_name, "it", "", R"([["in", 0, 0, {}], ["b", 0, 0, {}]])") + "," + separable("a", on("it"))));
    };
    EXPECT_EQ(joined("Add"), "Add 'it': expected inputs that broadcast, found (-1, 8, 9, 3) with (-1, 8, 9, 4)");
    EXPECT_EQ(joined("Dot"), "Dot 'it': axes: expected an integer of at least -16, found none");
}

TEST(ModelShapes, GluChangesAShapeThatKerasKeeps) {
    EXPECT_EQ(reason(behind("Activation", R"("activation": "glu")")),
              "Activation 'it': activation: expected one that keeps the shape, found glu");
}

}  // namespace
}  // namespace sepconv::io
