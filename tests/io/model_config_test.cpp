// What is found in a Keras model's config: which layers, under which names and groups.
#include "model_config.h"

#include <gmock/gmock.h>

#include "scratch.h"
#include "sepconv/error.h"

namespace sepconv::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string layer(const std::string &class_name, const std::string &config) {
    return R"({"class_name": ")" + class_name + R"(", "config": {)" + config + "}}";
}

std::string separable(const std::string &name, const std::string &more = "") {
    return layer("SeparableConv2D", R"("name": ")" + name + R"(", "filters": 1, "kernel_size": 1)" + more);
}

std::string model(const std::string &class_name, const std::string &name, const std::string &layers, const std::string &more = "") {
    return layer(class_name, R"("name": ")" + name + R"(", "layers": [)" + layers + "]" + more);
}

std::vector<std::string> names(const ModelConfig &config) {
    std::vector<std::string> all;
    for (const ConfiguredLayer &each : config.layers) all.push_back(each.full_name());
    return all;
}

// The groups of a layer in a Keras 3 file.
std::vector<std::string> groups(const ConfiguredLayer &layer) {
    std::vector<std::string> all;
    for (const LayerStep &step : layer.steps) all.push_back(step.member);
    return all;
}

TEST(ModelConfig, EveryClassOfModelIsWalked) {
    for (const char *class_name : {"Model", "Functional", "Sequential", "MyModel"}) {
        EXPECT_THAT(names(parse_model_config(model(class_name, "m", separable("a") + "," + separable("b")), "m.h5")),
                    ElementsAre("a", "b"));
    }
}

TEST(ModelConfig, AnEarlySequentialIsABareList) {
    EXPECT_THAT(names(parse_model_config(R"({"class_name": "Sequential", "config": [)" + separable("a") + "]}", "m.h5")), ElementsAre("a"));
}

TEST(ModelConfig, BothNamesOfTheClassCount) {
    const std::string alias = layer("SeparableConvolution2D", R"("name": "b", "filters": 1, "kernel_size": 1)");
    const ModelConfig config = parse_model_config(model("Model", "m", separable("a") + "," + alias), "m.h5");
    EXPECT_THAT(names(config), ElementsAre("a", "b"));
    EXPECT_THAT(groups(config.layers[1]), ElementsAre("layers/separable_conv2d_1"));
}

TEST(ModelConfig, OtherLayersAreIgnoredWhateverTheyHold) {
    const std::string other = layer("ReLU", R"("max_value": Infinity, "threshold": -Infinity, "name": "NaN", "x": [NaN, {"y": 1}])");
    EXPECT_THAT(names(parse_model_config(model("Model", "m", other + "," + separable("a")), "m.h5")), ElementsAre("a"));
}

TEST(ModelConfig, NestedNamesAreJoined) {
    const std::string inner = model("Functional", "inner", model("Sequential", "deep", separable("a")) + "," + separable("a"));
    const std::string wrapped = layer("TimeDistributed", R"("name": "td", "layer": )" + separable("each"));
    EXPECT_THAT(names(parse_model_config(model("Functional", "m", inner + "," + wrapped), "m.h5")),
                ElementsAre("inner/deep/a", "inner/a", "td/each"));
}

TEST(ModelConfig, GroupsAreNamedByClassAndCountedPerModel) {
    const std::string inner = model("Functional", "inner", separable("a"));
    const std::string second = model("Functional", "second", separable("a") + "," + separable("b"));
    const std::string wrapped = layer("TimeDistributed", R"("name": "td", "layer": )" + model("Sequential", "s", separable("each")));
    const ModelConfig config = parse_model_config(model("Functional", "m", inner + "," + second + "," + wrapped), "m.keras");
    ASSERT_EQ(config.layers.size(), 4u);
    EXPECT_THAT(groups(config.layers[0]), ElementsAre("layers/functional", "layers/separable_conv2d"));
    EXPECT_THAT(groups(config.layers[2]), ElementsAre("layers/functional_1", "layers/separable_conv2d_1"));
    EXPECT_THAT(groups(config.layers[3]), ElementsAre("layers/time_distributed", "layer", "layers/separable_conv2d"));
}

TEST(ModelConfig, ALayerInAFrozenModelIsFrozen) {
    const std::string frozen = model("Model", "frozen", separable("a"), R"(, "trainable": false)");
    const ModelConfig config = parse_model_config(model("Model", "m", frozen + "," + separable("b")), "m.h5");
    EXPECT_FALSE(config.layers[0].trainable);
    EXPECT_TRUE(config.layers[1].trainable);
}

TEST(ModelConfig, TheFormTellsWhichKerasWroteALayer) {
    const auto version = [](const std::string &more) { return version_by_form(R"({"name": "a")" + more + "}", "c.json"); };
    EXPECT_EQ(version(""), KerasVersion::keras3);
    EXPECT_EQ(version(R"(, "groups": 1)"), KerasVersion::keras2);
    EXPECT_EQ(version(R"(, "kernel_initializer": null)"), KerasVersion::keras2);
    EXPECT_EQ(version(R"(, "batch_input_shape": null)"), KerasVersion::keras2);
    EXPECT_EQ(version(R"(, "bias_initializer": {"class_name": "Zeros", "config": {}})"), KerasVersion::keras2);
    EXPECT_EQ(version(R"(, "bias_initializer": {"module": "keras.initializers", "class_name": "Zeros"})"), KerasVersion::keras3);
}

std::string error(const std::string &json) {
    return message_of<ConfigError>([&] { parse_model_config(json, "m.h5: model_config"); });
}

TEST(ModelConfig, TextThatIsNoJsonIsRefused) { EXPECT_THAT(error("{"), HasSubstr("m.h5: model_config: expected JSON")); }

TEST(ModelConfig, AModelThatIsNoLayerIsRefused) {
    EXPECT_THAT(error("[1]"), HasSubstr("m.h5: model_config: expected a layer with class_name and config, found array"));
    EXPECT_THAT(error(model("Model", "m", "7")), HasSubstr("expected a layer with class_name and config, found number"));
}

TEST(ModelConfig, TwoLayersOfOneNameAreRefused) {
    EXPECT_THAT(error(model("Model", "m", separable("a") + "," + separable("a"))),
                HasSubstr("a: expected one layer of this name, found two"));
}

TEST(ModelConfig, DeepNestingIsRefusedBeforeItTakesTheStack) {
    EXPECT_THAT(error(std::string(1000000, '[')), HasSubstr("nested at most 200 deep"));
}

TEST(ModelConfig, BracketsInAStringAreNoNesting) {
    const std::string text = "\\\"" + std::string(1000, '[');
    EXPECT_THAT(names(parse_model_config(model("Model", "m", separable("a", R"(, "x": ")" + text + '"')), "m.h5")), ElementsAre("a"));
}

TEST(ModelConfig, ASingleLayerIsNoModel) { EXPECT_THAT(error(separable("a")), HasSubstr("expected a model, found a single layer")); }

}  // namespace
}  // namespace sepconv::io
