// Walks the config of every model in shapes/ and models/ and holds the shape that reaches each separable convolution against what
// TensorFlow found while it traced the model; and what single layers make of a shape.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "layer_shapes.h"
#include "sepconv/io.h"

namespace sepconv::golden {
namespace {

using Json = nlohmann::ordered_json;

const std::filesystem::path folder = std::filesystem::path(SEPCONV_TEST_DATA) / "golden";

// A model and one input for it.
struct Case {
    std::string file;
    Json input;   // null: the one that the model stores
    Json layers;  // name to shape
};

void PrintTo(const Case &each, std::ostream *out) { *out << each.file << " with " << each.input; }

std::vector<Case> read_cases() {
    std::ifstream file(folder / "shapes" / "shapes.json");
    const Json manifest = Json::parse(file);
    std::vector<Case> cases;
    for (const auto &[name, calls] : manifest.items()) {
        for (const Json &call : calls) cases.push_back({name, call["input"], call["layers"]});
    }
    return cases;
}

std::vector<std::int64_t> with_open(const Json &shape) {
    std::vector<std::int64_t> extents;
    for (const Json &each : shape) extents.push_back(each.is_null() ? -1 : each.get<std::int64_t>());
    return extents;
}

class Shapes : public testing::TestWithParam<Case> {};

TEST_P(Shapes, AreThoseThatKerasCallsTheLayersWith) {
    const ModelFile model(folder / GetParam().file);
    std::optional<std::vector<std::int64_t>> input;
    if (!GetParam().input.is_null()) input = with_open(GetParam().input);
    const std::vector<InferredShape> found = model.input_shapes(input);
    ASSERT_EQ(found.size(), GetParam().layers.size());
    std::size_t i = 0;
    for (const auto &[name, expected] : GetParam().layers.items()) {
        SCOPED_TRACE(name);
        const InferredShape &layer = found[i++];
        EXPECT_EQ(layer.name, name);
        const bool several = expected.is_array() && expected[0].is_array();
        if (several) {
            EXPECT_THAT(layer.shape, testing::IsEmpty());
            EXPECT_THAT(layer.reason, testing::HasSubstr("called with several shapes"));
        } else {
            EXPECT_EQ(layer.shape, with_open(expected)) << layer.reason;
            EXPECT_EQ(layer.reason, "");
        }
    }
}

std::string test_name(const testing::TestParamInfo<Case> &info) {
    std::string name =
        fmt::format("{}_{}", info.param.file.substr(info.param.file.find('/') + 1), info.param.input.is_null() ? "stored" : "given");
    for (const auto extent : with_open(info.param.input)) name += extent < 0 ? "_open" : fmt::format("_{}", extent);
    for (char &letter : name) {
        if (!std::isalnum(static_cast<unsigned char>(letter))) letter = '_';
    }
    return name;
}

TEST(Layers, MakeTheShapesThatKerasMakes) {
    std::ifstream file(folder / "shapes" / "layers.json");
    const nlohmann::json all = nlohmann::json::parse(file);
    ASSERT_GT(all.size(), 100u);
    for (const auto &each : all) {
        SCOPED_TRACE(each.dump());
        std::vector<io::Extents> inputs;
        for (const auto &input : each["inputs"]) inputs.push_back(with_open(input));
        try {
            EXPECT_EQ(io::output_shape(each["layer"], {each["layer"]["config"], nullptr, inputs}), with_open(each["output"]));
        } catch (const io::UnknownShape &error) {
            ADD_FAILURE() << error.what();
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Models, Shapes, testing::ValuesIn(read_cases()), test_name);

}  // namespace
}  // namespace sepconv::golden
