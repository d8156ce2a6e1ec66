// `sepconv run` and `sepconv info` on every model file that Keras wrote: each layer's output against what Keras computed.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "golden/compare.h"
#include "tools/spawned.h"

namespace sepconv::tools {
namespace {

const std::filesystem::path folder = std::filesystem::path(SEPCONV_TEST_DATA) / "golden" / "models";

struct Model {
    std::string file;
    std::vector<std::string> arguments;
    nlohmann::ordered_json layers;
};

void PrintTo(const Model &model, std::ostream *out) { *out << model.file; }

std::vector<Model> read_models() {
    std::ifstream file(folder / "models.json");
    const nlohmann::ordered_json all = nlohmann::ordered_json::parse(file);
    std::vector<Model> models;
    for (const auto &[name, facts] : all.items()) {
        Model model{name, {"--model", folder / name}, facts["layers"]};
        if (!facts["weights"].is_null()) {
            model.arguments.insert(model.arguments.end(), {"--model-weights", folder / facts["weights"].get<std::string>()});
        }
        models.push_back(model);
    }
    return models;
}

// The shapes that reach the layers of one file, by the layers' names.
nlohmann::json input_shapes(const std::string &file) {
    static const nlohmann::json all = nlohmann::json::parse(std::ifstream(folder / ".." / "shapes" / "shapes.json"));
    return all["models/" + file][0]["layers"];
}

const Array &expected_array(const std::string &name) {
    static const std::map<std::string, Array> arrays = read_npz(folder / "expected.npz");
    return arrays.at(name);
}

std::vector<std::string> joined(std::vector<std::string> words, const std::vector<std::string> &more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

class CommandOnModel : public CommandTest, public testing::WithParamInterface<Model> {};

TEST_P(CommandOnModel, RunComputesWhatKerasComputes) {
    for (const auto &[name, facts] : GetParam().layers.items()) {
        SCOPED_TRACE(name);
        const std::string key = facts["key"];
        const Array &expected = expected_array(key + "/output");
        write_npy(path("x.npy"), expected_array(key + "/input"));
        std::filesystem::remove(path("y.npy"));
        const Result result = run(joined({"run", "--layer", name, "--input", "x.npy", "--output", "y.npy"}, GetParam().arguments));
        ASSERT_EQ(result.code, 0) << result.err;
        EXPECT_EQ(result.out, "");
        const Array found = read_npy(path("y.npy"));
        EXPECT_EQ(found.shape, expected.shape);
        const Dtype dtype = ModelFile(folder / GetParam().file).config(name).dtype;
        EXPECT_TRUE(golden::matches(found.values, expected.values, expected.shape, dtype));
    }
}

TEST_P(CommandOnModel, InfoListsTheLayersWithTheirWeightShapes) {
    const Result result = run(joined({"info", "--json"}, GetParam().arguments));
    ASSERT_EQ(result.code, 0) << result.err;
    const auto model = nlohmann::ordered_json::parse(result.out)["model"];
    EXPECT_EQ(model["file"], GetParam().arguments[1]);
    ASSERT_EQ(model["layers"].size(), GetParam().layers.size());
    std::size_t i = 0;
    for (const auto &[name, facts] : GetParam().layers.items()) {
        SCOPED_TRACE(name);
        const auto &layer = model["layers"][i++];
        const std::int64_t channels = facts["input_channels"], multiplier = facts["depth_multiplier"], filters = facts["filters"];
        EXPECT_EQ(layer["name"], name);
        EXPECT_EQ(layer["input_channels"], channels);
        EXPECT_EQ(layer["config"]["strides"], facts["strides"]);
        EXPECT_THAT(layer["weights"]["depthwise_kernel"],
                    testing::ElementsAre(facts["kernel_size"][0], facts["kernel_size"][1], channels, multiplier));
        EXPECT_THAT(layer["weights"]["pointwise_kernel"], testing::ElementsAre(1, 1, channels * multiplier, filters));
        EXPECT_EQ(layer["weights"].contains("bias"), facts["use_bias"]);
    }
}

TEST_P(CommandOnModel, InfoShowsTheShapeThatReachesEachLayer) {
    const Result result = run(joined({"info", "--json"}, GetParam().arguments));
    ASSERT_EQ(result.code, 0) << result.err;
    const auto model = nlohmann::json::parse(result.out)["model"];
    const auto shapes = input_shapes(GetParam().file);
    ASSERT_EQ(model["layers"].size(), shapes.size());
    for (const auto &layer : model["layers"]) {
        EXPECT_EQ(layer["input_shape"], shapes[layer["name"].get<std::string>()]) << layer["name"];
        EXPECT_EQ(layer["input_shape_unknown"], nullptr) << layer["name"];
    }
}

TEST_P(CommandOnModel, ExplainTakesTheLayerByName) {
    for (const auto &[name, facts] : GetParam().layers.items()) {
        SCOPED_TRACE(name);
        const std::vector<std::int64_t> input = facts["input_shape"];
        const std::string shape = fmt::format("{}", fmt::join(input, ","));
        const Result result = run(joined({"explain", "--json", "--layer", name, "--input-shape", shape}, GetParam().arguments));
        ASSERT_EQ(result.code, 0) << result.err;
        EXPECT_EQ(nlohmann::json::parse(result.out)["output_shape"], facts["output_shape"]);
    }
}

std::string test_name(const testing::TestParamInfo<Model> &info) {
    std::string name = info.param.file;
    std::replace_if(name.begin(), name.end(), [](char letter) { return letter == '.' || letter == '-'; }, '_');
    return name;
}

INSTANTIATE_TEST_SUITE_P(Files, CommandOnModel, testing::ValuesIn(read_models()), test_name);

}  // namespace
}  // namespace sepconv::tools
