// Reads every model file that Keras wrote into models/ and holds each separable convolution in it against what Keras read and computed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "golden/compare.h"
#include "sepconv/io.h"
#include "sepconv/sepconv.h"

namespace sepconv::golden {
namespace {

const std::filesystem::path folder = std::filesystem::path(SEPCONV_TEST_DATA) / "golden" / "models";

struct Model {
    std::string file;
    std::string weights;  // empty unless they stand apart
    nlohmann::ordered_json layers;
};

void PrintTo(const Model &model, std::ostream *out) { *out << model.file; }

std::vector<Model> read_models() {
    std::ifstream file(folder / "models.json");
    const nlohmann::ordered_json manifest = nlohmann::ordered_json::parse(file);
    std::vector<Model> models;
    for (const auto &[name, facts] : manifest.items()) {
        models.push_back({name, facts["weights"].is_null() ? "" : facts["weights"].get<std::string>(), facts["layers"]});
    }
    return models;
}

const Array &expected_array(const std::string &name) {
    static const std::map<std::string, Array> arrays = read_npz(folder / "expected.npz");
    return arrays.at(name);
}

Shape as_shape(const std::vector<std::int64_t> &extents) {
    Shape shape = {};
    std::copy(extents.begin(), extents.end(), shape.begin());
    return shape;
}

double sum(const Array &array) {
    double total = 0;
    for (float value : array.values) total += value;
    return total;
}

class Models : public testing::TestWithParam<Model> {
protected:
    static ModelFile open() {
        const Model &model = GetParam();
        return ModelFile(folder / model.file, model.weights.empty() ? std::filesystem::path() : folder / model.weights);
    }
};

TEST_P(Models, ListsTheSeparableConvolutionsInTheModelsOrder) {
    std::vector<std::string> found, expected;
    const ModelFile file = open();
    for (const ModelLayer &layer : file.layers()) found.push_back(layer.name);
    for (const auto &[name, facts] : GetParam().layers.items()) expected.push_back(name);
    EXPECT_EQ(found, expected);
}

TEST_P(Models, ReadsEveryArgumentOfALayer) {
    const ModelFile file = open();
    for (const auto &[name, facts] : GetParam().layers.items()) {
        SCOPED_TRACE(name);
        const LayerConfig &config = file.config(name);
        EXPECT_EQ(config.filters, facts["filters"]);
        EXPECT_THAT(config.kernel_size, testing::ElementsAreArray(facts["kernel_size"]));
        EXPECT_THAT(config.strides, testing::ElementsAreArray(facts["strides"]));
        EXPECT_EQ(config.padding == Padding::same ? "same" : "valid", facts["padding"]);
        EXPECT_EQ(config.data_format == DataFormat::channels_first ? "channels_first" : "channels_last", facts["data_format"]);
        EXPECT_THAT(config.dilation_rate, testing::ElementsAreArray(facts["dilation_rate"]));
        EXPECT_EQ(config.depth_multiplier, facts["depth_multiplier"]);
        EXPECT_EQ(config.use_bias, facts["use_bias"]);
    }
}

TEST_P(Models, CountsTheInputChannelsOfALayer) {
    const ModelFile file = open();
    for (const ModelLayer &layer : file.layers()) {
        if (GetParam().layers.contains(layer.name)) {
            EXPECT_EQ(layer.input_channels, GetParam().layers[layer.name]["input_channels"]) << layer.name;
        }
    }
}

TEST_P(Models, ReadsTheWeightsOfTheLayerThatWasNamed) {
    const ModelFile file = open();
    for (const auto &[name, facts] : GetParam().layers.items()) {
        SCOPED_TRACE(name);
        const StoredWeights weights = file.weights(name);
        const std::int64_t channels = facts["input_channels"], multiplier = facts["depth_multiplier"], filters = facts["filters"];
        EXPECT_THAT(weights.depthwise_kernel.shape,
                    testing::ElementsAre(facts["kernel_size"][0], facts["kernel_size"][1], channels, multiplier));
        EXPECT_THAT(weights.pointwise_kernel.shape, testing::ElementsAre(1, 1, channels * multiplier, filters));
        EXPECT_EQ(weights.bias.values.size(), facts["use_bias"] ? std::size_t(filters) : 0);
        // The stored values are multiples of 1/64, so their sums are exact in any order.
        EXPECT_EQ(sum(weights.depthwise_kernel), facts["depthwise_kernel_sum"]);
        EXPECT_EQ(sum(weights.pointwise_kernel), facts["pointwise_kernel_sum"]);
    }
}

// The layer's output for an image of values that float16 holds too, computed in its own dtype.
std::vector<float> run(const Layer &layer, const Array &input, const Shape &shape) {
    const auto count = static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]);
    std::vector<float> output(count, NAN);
    if (layer.config().dtype == Dtype::float32) {
        layer.run({input.values.data(), as_shape(input.shape)}, {output.data(), shape});
        return output;
    }
    std::vector<float16> halves, results(count, float16(NAN));
    for (const float value : input.values) halves.emplace_back(value);
    layer.run({halves.data(), as_shape(input.shape)}, {results.data(), shape});
    std::transform(results.begin(), results.end(), output.begin(), [](float16 value) { return static_cast<float>(value); });
    return output;
}

TEST_P(Models, EveryLayerComputesWhatKerasComputes) {
    const ModelFile file = open();
    for (const auto &[name, facts] : GetParam().layers.items()) {
        SCOPED_TRACE(name);
        const std::string key = facts["key"];
        const Array &input = expected_array(key + "/input"), &expected = expected_array(key + "/output");
        const StoredWeights weights = file.weights(name);
        const Layer layer(file.config(name), weights.view());
        const Shape shape = layer.output_shape(as_shape(input.shape));
        EXPECT_THAT(shape, testing::ElementsAreArray(expected.shape));
        if (shape != as_shape(expected.shape)) continue;
        EXPECT_TRUE(matches(run(layer, input, shape), expected.values, expected.shape, layer.config().dtype));
    }
}

std::string test_name(const testing::TestParamInfo<Model> &info) {
    std::string name = info.param.file;
    for (char &letter : name) {
        if (!std::isalnum(static_cast<unsigned char>(letter))) letter = '_';
    }
    return name;
}

INSTANTIATE_TEST_SUITE_P(Files, Models, testing::ValuesIn(read_models()), test_name);

}  // namespace
}  // namespace sepconv::golden
