// The C interface: the same reach as the C++ one, a status and a message for everything that goes wrong, and no exception.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "sepconv/c.h"
#include "sepconv/layer.h"

extern "C" sepconv_status c_runs_a_layer(float results[8]);

namespace {

using testing::Each;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

struct Free {
    void operator()(sepconv_config *config) const { sepconv_config_free(config); }
    void operator()(sepconv_layer *layer) const { sepconv_layer_free(layer); }
};
using Config = std::unique_ptr<sepconv_config, Free>;
using Layer = std::unique_ptr<sepconv_layer, Free>;

Config config_of(const std::string &arguments = "") {
    const std::string json = R"({"filters": 2, "kernel_size": 3, "data_format": "channels_last")" + arguments + "}";
    sepconv_config *config = nullptr;
    EXPECT_EQ(sepconv_config_parse(json.data(), json.size(), nullptr, &config), SEPCONV_OK) << sepconv_last_error();
    return Config(config);
}

// Two filters over three channels: the sum of each window, and its negative.
struct TwoFilters {
    std::vector<float> depthwise = std::vector<float>(27, 1.0F);
    std::vector<float> pointwise = {1, -1, 1, -1, 1, -1};
    std::vector<float> bias = {0.5F, -0.5F};

    sepconv_weights weights() const { return {depthwise.data(), {3, 3, 3, 1}, pointwise.data(), {1, 1, 3, 2}, bias.data(), 2}; }
};

Layer layer_of(const Config &config) {
    const TwoFilters filters;
    const sepconv_weights weights = filters.weights();
    sepconv_layer *layer = nullptr;
    EXPECT_EQ(sepconv_layer_create(config.get(), &weights, nullptr, &layer), SEPCONV_OK) << sepconv_last_error();
    return Layer(layer);
}

sepconv_status parse(const std::string &json, const sepconv_parse_options *options = nullptr) {
    sepconv_config *config = nullptr;
    const sepconv_status status = sepconv_config_parse(json.data(), json.size(), options, &config);
    EXPECT_EQ(config == nullptr, status != SEPCONV_OK);
    sepconv_config_free(config);
    return status;
}

std::string json_of(const sepconv_config *config) {
    std::size_t length = 0;
    EXPECT_EQ(sepconv_config_json(config, nullptr, 0, &length), SEPCONV_OK);
    std::string json(length + 1, 'x');
    EXPECT_EQ(sepconv_config_json(config, json.data(), json.size(), nullptr), SEPCONV_OK);
    json.pop_back();
    return json;
}

TEST(CInterface, RunsALayerFromPlainC) {
    float results[8] = {};
    ASSERT_EQ(c_runs_a_layer(results), SEPCONV_OK) << sepconv_last_error();
    // Windows of 0 1 2 / 6 7 8 / 12 13 14 and so on: nine times their middle.
    EXPECT_THAT(results, ElementsAre(127, 145, 235, 253, 127, 145, 235, 253));
}

TEST(CInterface, GivesTheArgumentsOfAConfig) {
    const Config config =
        config_of(R"(, "strides": [2, 3], "padding": "same", "depth_multiplier": 5, "use_bias": false, "trainable": false)");
    sepconv_arguments arguments = {};
    ASSERT_EQ(sepconv_config_arguments(config.get(), &arguments), SEPCONV_OK);
    EXPECT_EQ(arguments.filters, 2);
    EXPECT_THAT(arguments.kernel_size, ElementsAre(3, 3));
    EXPECT_THAT(arguments.strides, ElementsAre(2, 3));
    EXPECT_THAT(arguments.dilation_rate, ElementsAre(1, 1));
    EXPECT_EQ(arguments.depth_multiplier, 5);
    EXPECT_EQ(arguments.padding, SEPCONV_SAME);
    EXPECT_EQ(arguments.data_format, SEPCONV_CHANNELS_LAST);
    EXPECT_EQ(arguments.use_bias, 0);
    EXPECT_EQ(arguments.trainable, 0);
    EXPECT_EQ(arguments.dtype, SEPCONV_FLOAT32);
}

TEST(CInterface, TellsAConfigsDtype) {
    const Config config = config_of(R"(, "dtype": "float16")");
    sepconv_arguments arguments = {};
    ASSERT_EQ(sepconv_config_arguments(config.get(), &arguments), SEPCONV_OK);
    EXPECT_EQ(arguments.dtype, SEPCONV_FLOAT16);
}

TEST(CInterface, GivesTheNameOfAConfig) {
    const Config config = config_of(R"(, "name": "block_2")");
    const char *name = nullptr;
    ASSERT_EQ(sepconv_config_name(config.get(), &name), SEPCONV_OK);
    EXPECT_STREQ(name, "block_2");
}

TEST(CInterface, WritesJsonThatItReadsBack) {
    const Config config = config_of(R"(, "activation": {"class_name": "ELU", "config": {"alpha": 0.5}})");
    const std::string json = json_of(config.get());
    sepconv_config *again = nullptr;
    ASSERT_EQ(sepconv_config_parse(json.data(), json.size(), nullptr, &again), SEPCONV_OK) << sepconv_last_error();
    EXPECT_EQ(json_of(Config(again).get()), json);
}

TEST(CInterface, CutsTextThatTheBufferIsTooSmallFor) {
    const Config config = config_of();
    char buffer[9];
    std::memset(buffer, 'x', sizeof buffer);
    std::size_t length = 0;
    ASSERT_EQ(sepconv_config_json(config.get(), buffer, 8, &length), SEPCONV_OK);
    EXPECT_EQ(std::string(buffer, 9), std::string("{\"name\"\0x", 9));
}

TEST(CInterface, SaysHowLongCutTextIs) {
    const Config config = config_of();
    char buffer[8];
    std::size_t length = 0;
    ASSERT_EQ(sepconv_config_json(config.get(), buffer, sizeof buffer, &length), SEPCONV_OK);
    EXPECT_EQ(length, json_of(config.get()).size());
}

TEST(CInterface, ReadsKeras2WhereItIsToldTo) {
    const std::string json = R"({"filters": 2, "kernel_size": 3, "data_format": "channels_last", "activation": "hard_sigmoid"})";
    sepconv_parse_options options = {};
    options.version = SEPCONV_KERAS_2;
    sepconv_config *config = nullptr;
    ASSERT_EQ(sepconv_config_parse(json.data(), json.size(), &options, &config), SEPCONV_OK);
    EXPECT_THAT(json_of(Config(config).get()), HasSubstr("hard_sigmoid_keras2"));
}

TEST(CInterface, TakesTheDataFormatOfTheOptions) {
    const std::string json = R"({"filters": 2, "kernel_size": 3})";
    sepconv_parse_options options = {};
    options.data_format = SEPCONV_CHANNELS_FIRST;
    sepconv_config *config = nullptr;
    ASSERT_EQ(sepconv_config_parse(json.data(), json.size(), &options, &config), SEPCONV_OK);
    sepconv_arguments arguments = {};
    sepconv_config_arguments(Config(config).get(), &arguments);
    EXPECT_EQ(arguments.data_format, SEPCONV_CHANNELS_FIRST);
}

TEST(CInterface, HandsRemarksToTheCaller) {
    std::vector<std::string> remarks;
    sepconv_parse_options options = {};
    options.source = "layer.json";
    options.data_format = SEPCONV_CHANNELS_LAST;
    options.warn = [](void *user, const char *message) { static_cast<std::vector<std::string> *>(user)->push_back(message); };
    options.user = &remarks;
    parse(R"({"filters": 2, "kernel_size": 3, "dtype": "bfloat16"})", &options);
    EXPECT_THAT(remarks, ElementsAre(StartsWith("layer.json: dtype: bfloat16")));
}

TEST(CInterface, GivesTheOutputShapeOfAConfig) {
    const Config config = config_of();
    const int64_t input[4] = {1, 10, 7, 3};
    int64_t output[4] = {};
    ASSERT_EQ(sepconv_config_output_shape(config.get(), input, output), SEPCONV_OK);
    EXPECT_THAT(output, ElementsAre(1, 8, 5, 2));
}

TEST(CInterface, FitsWindows) {
    int64_t output = 0, before = 0;
    ASSERT_EQ(sepconv_fit_window(7, 3, 2, 1, SEPCONV_SAME, &output, &before), SEPCONV_OK);
    EXPECT_EQ(output, 4);
    EXPECT_EQ(before, 1);
}

TEST(CInterface, TellsTheDefaultDataFormat) {
    setenv("KERAS_HOME", "/nonexistent", 1);
    sepconv_data_format format = SEPCONV_DEFAULT_DATA_FORMAT;
    const sepconv_status status = sepconv_default_data_format(nullptr, nullptr, &format);
    unsetenv("KERAS_HOME");
    ASSERT_EQ(status, SEPCONV_OK);
    EXPECT_EQ(format, SEPCONV_CHANNELS_LAST);
}

TEST(CInterface, TellsALayersChannels) {
    const Layer layer = layer_of(config_of());
    int64_t channels = 0;
    ASSERT_EQ(sepconv_layer_input_channels(layer.get(), &channels), SEPCONV_OK);
    EXPECT_EQ(channels, 3);
}

TEST(CInterface, TellsALayersTarget) {
    const Layer layer = layer_of(config_of());
    const char *target = nullptr, *expected = nullptr;
    ASSERT_EQ(sepconv_layer_target(layer.get(), &target), SEPCONV_OK);
    ASSERT_EQ(sepconv_default_target(&expected), SEPCONV_OK);
    EXPECT_STREQ(target, expected);
}

TEST(CInterface, GivesALayersConfigBack) {
    const Config config = config_of(R"(, "name": "mine")");
    const Layer layer = layer_of(config);
    sepconv_config *copy = nullptr;
    ASSERT_EQ(sepconv_layer_config(layer.get(), &copy), SEPCONV_OK);
    EXPECT_EQ(json_of(Config(copy).get()), json_of(config.get()));
}

TEST(CInterface, CopiesOutliveTheLayerThatTheyShare) {
    Layer layer = layer_of(config_of());
    sepconv_layer *copy = nullptr;
    ASSERT_EQ(sepconv_layer_copy(layer.get(), &copy), SEPCONV_OK);
    const Layer kept(copy);
    layer.reset();
    const std::vector<float> image(27, 1.0F);
    float result[2] = {};
    const sepconv_const_tensor input = {image.data(), {1, 3, 3, 3}, {}};
    const sepconv_tensor output = {result, {1, 1, 1, 2}, {}};
    ASSERT_EQ(sepconv_layer_run(kept.get(), &input, &output, nullptr), SEPCONV_OK) << sepconv_last_error();
    EXPECT_THAT(result, ElementsAre(27.5F, -27.5F));
}

TEST(CInterface, ThreadsDoNotChangeTheResult) {
    const Layer layer = layer_of(config_of());
    std::vector<float> image(1 * 40 * 40 * 3);
    for (std::size_t i = 0; i < image.size(); ++i) image[i] = float(i % 17) / 3;
    std::vector<float> one(38 * 38 * 2), three(one.size());
    const sepconv_const_tensor input = {image.data(), {1, 40, 40, 3}, {}};
    const sepconv_tensor output_one = {one.data(), {1, 38, 38, 2}, {}}, output_three = {three.data(), {1, 38, 38, 2}, {}};
    const sepconv_execution single = {1, nullptr}, triple = {3, nullptr};
    ASSERT_EQ(sepconv_layer_run(layer.get(), &input, &output_one, &single), SEPCONV_OK) << sepconv_last_error();
    ASSERT_EQ(sepconv_layer_run(layer.get(), &input, &output_three, &triple), SEPCONV_OK) << sepconv_last_error();
    EXPECT_THAT(one, ElementsAreArray(three));
}

TEST(CInterface, RunsOnTheCallersExecutor) {
    const Layer layer = layer_of(config_of());
    // Enough for more tasks than one.
    const std::vector<float> images(8 * 64 * 64 * 3, 1.0F);
    std::vector<float> result(8 * 62 * 62 * 2);
    const sepconv_const_tensor input = {images.data(), {8, 64, 64, 3}, {}};
    const sepconv_tensor output = {result.data(), {8, 62, 62, 2}, {}};
    int tasks = 0;
    sepconv_executor executor = {};
    executor.user = &tasks;
    executor.concurrency = [](void *) { return 4; };
    executor.parallel_for = [](void *user, int count, void (*task)(void *, int), void *context) {
        *static_cast<int *>(user) += count;
        for (int i = 0; i < count; ++i) task(context, i);
    };
    const sepconv_execution execution = {0, &executor};
    ASSERT_EQ(sepconv_layer_run(layer.get(), &input, &output, &execution), SEPCONV_OK) << sepconv_last_error();
    EXPECT_GT(tasks, 0);
}

TEST(CInterface, RunsAnEmptyBatchWithoutMemory) {
    const Layer layer = layer_of(config_of());
    const sepconv_const_tensor input = {nullptr, {0, 5, 5, 3}, {}};
    const sepconv_tensor output = {nullptr, {0, 3, 3, 2}, {}};
    EXPECT_EQ(sepconv_layer_run(layer.get(), &input, &output, nullptr), SEPCONV_OK) << sepconv_last_error();
}

TEST(CInterface, ExplainsInWordsAndInJson) {
    const Layer layer = layer_of(config_of());
    const int64_t input[4] = {1, 10, 7, 3};
    std::size_t words = 0, json = 0;
    ASSERT_EQ(sepconv_layer_explain(layer.get(), input, 0, nullptr, 0, &words), SEPCONV_OK) << sepconv_last_error();
    ASSERT_EQ(sepconv_layer_explain(layer.get(), input, 1, nullptr, 0, &json), SEPCONV_OK) << sepconv_last_error();
    EXPECT_GT(words, 0U);
    EXPECT_GT(json, 0U);
    EXPECT_NE(words, json);
}

TEST(CInterface, ListsTheTargetsOfTheCppInterface) {
    const sepconv_target *targets = nullptr;
    std::size_t count = 0;
    ASSERT_EQ(sepconv_targets(&targets, &count), SEPCONV_OK);
    const std::vector<sepconv::Target> expected = sepconv::targets();
    ASSERT_EQ(count, expected.size());
    for (std::size_t i = 0; i < count; ++i) {
        EXPECT_EQ(targets[i].name, expected[i].name);
        EXPECT_EQ(targets[i].halide, expected[i].halide);
        EXPECT_EQ(targets[i].runs_here != 0, expected[i].runs_here);
        EXPECT_EQ(targets[i].arithmetic == SEPCONV_FLOAT16, expected[i].arithmetic == sepconv::Arithmetic::float16);
    }
}

TEST(CInterface, ListsTheGpusOfTheCppInterface) {
    const sepconv_gpu *gpus = nullptr;
    std::size_t count = 0;
    ASSERT_EQ(sepconv_gpus(&gpus, &count), SEPCONV_OK);
    const std::vector<sepconv::Gpu> expected = sepconv::gpus();
    ASSERT_EQ(count, expected.size());
    for (std::size_t i = 0; i < count; ++i) {
        EXPECT_EQ(gpus[i].target, expected[i].target);
        EXPECT_EQ(gpus[i].device, expected[i].device);
        EXPECT_EQ(gpus[i].why_not, expected[i].why_not);
        EXPECT_EQ(expected[i].device.empty(), !expected[i].why_not.empty());
    }
}

TEST(CInterface, ListsThePipelinesOfTheCppInterface) {
    const sepconv_pipeline *pipelines = nullptr;
    std::size_t count = 0;
    ASSERT_EQ(sepconv_pipelines(&pipelines, &count), SEPCONV_OK);
    const std::vector<sepconv::Pipeline> expected = sepconv::pipelines();
    ASSERT_EQ(count, expected.size());
    for (std::size_t i = 0; i < count; ++i) {
        EXPECT_EQ(pipelines[i].name, expected[i].name);
        EXPECT_EQ(pipelines[i].stage, expected[i].stage);
        EXPECT_EQ(pipelines[i].target, expected[i].target);
        EXPECT_EQ(pipelines[i].covers, expected[i].covers);
    }
}

TEST(CInterface, TellsTheVersion) {
    const char *version = nullptr;
    ASSERT_EQ(sepconv_version(&version), SEPCONV_OK);
    EXPECT_EQ(version, sepconv::version());
}

TEST(CStatus, BadConfigIsAConfigErrorWithTheMessageOfTheCppInterface) {
    sepconv_parse_options options = {};
    options.source = "layer.json";
    EXPECT_EQ(parse(R"({"filters": 0, "kernel_size": 3})", &options), SEPCONV_CONFIG_ERROR);
    EXPECT_STREQ(sepconv_last_error(), "layer.json: filters: expected a positive integer, found 0");
}

TEST(CStatus, WrongShapeIsAShapeError) {
    const Config config = config_of();
    const int64_t input[4] = {1, 2, 7, 3};
    int64_t output[4] = {-1, -1, -1, -1};
    EXPECT_EQ(sepconv_config_output_shape(config.get(), input, output), SEPCONV_SHAPE_ERROR);
    EXPECT_THAT(output, Each(-1));
}

TEST(CStatus, WrongChannelsAreAShapeError) {
    const Layer layer = layer_of(config_of());
    const int64_t input[4] = {1, 10, 7, 4};
    int64_t output[4] = {};
    EXPECT_EQ(sepconv_layer_output_shape(layer.get(), input, output), SEPCONV_SHAPE_ERROR);
}

TEST(CStatus, WeightsThatDoNotFitAreAShapeErrorAndLeaveNoLayer) {
    const Config config = config_of();
    const TwoFilters filters;
    sepconv_weights weights = filters.weights();
    weights.depthwise_shape[0] = 2;
    auto *layer = reinterpret_cast<sepconv_layer *>(&weights);
    EXPECT_EQ(sepconv_layer_create(config.get(), &weights, nullptr, &layer), SEPCONV_SHAPE_ERROR);
    EXPECT_EQ(layer, nullptr);
}

TEST(CStatus, UnknownTargetIsATargetError) {
    const Config config = config_of();
    const TwoFilters filters;
    const sepconv_weights weights = filters.weights();
    sepconv_layer *layer = nullptr;
    EXPECT_EQ(sepconv_layer_create(config.get(), &weights, "mmx", &layer), SEPCONV_TARGET_ERROR);
    EXPECT_THAT(sepconv_last_error(), HasSubstr("mmx"));
}

TEST(CStatus, GpuThatDoesNotRunIsATargetErrorThatSaysWhy) {
    const Config config = config_of();
    const TwoFilters filters;
    const sepconv_weights weights = filters.weights();
    for (const sepconv::Gpu &gpu : sepconv::gpus()) {
        if (gpu.why_not.empty()) continue;
        sepconv_layer *layer = nullptr;
        EXPECT_EQ(sepconv_layer_create(config.get(), &weights, gpu.target.c_str(), &layer), SEPCONV_TARGET_ERROR);
        EXPECT_EQ(layer, nullptr);
        EXPECT_THAT(sepconv_last_error(), HasSubstr(gpu.target + ": " + gpu.why_not));
    }
}

TEST(CStatus, EnqueueOfALayerOfACpuIsATargetError) {
    const Config config = config_of();
    const Layer layer = layer_of(config);
    const std::vector<float> image(48);
    std::vector<float> output(8, 7.0F);
    const sepconv_const_tensor input = {image.data(), {1, 4, 4, 3}, {48, 12, 3, 1}};
    const sepconv_tensor results = {output.data(), {1, 2, 2, 2}, {8, 4, 2, 1}};
    EXPECT_EQ(sepconv_layer_enqueue(layer.get(), &input, &results, nullptr), SEPCONV_TARGET_ERROR);
    EXPECT_THAT(sepconv_last_error(), HasSubstr("expected a layer for cuda"));
    EXPECT_THAT(output, Each(7.0F));
}

TEST(CStatus, EnqueueOfHalfPrecisionOfALayerOfACpuIsATargetError) {
    const Config config = config_of(R"(, "dtype": "float16")");
    const Layer layer = layer_of(config);
    const std::vector<std::uint16_t> image(48);
    std::vector<std::uint16_t> output(8, 7);
    const sepconv_const_float16_tensor input = {image.data(), {1, 4, 4, 3}, {48, 12, 3, 1}};
    const sepconv_float16_tensor results = {output.data(), {1, 2, 2, 2}, {8, 4, 2, 1}};
    EXPECT_EQ(sepconv_layer_enqueue_float16(layer.get(), &input, &results, nullptr), SEPCONV_TARGET_ERROR);
    EXPECT_THAT(output, Each(7));
}

TEST(CStatus, EnqueueOfNothingIsAnArgumentError) {
    const Config config = config_of();
    const Layer layer = layer_of(config);
    const sepconv_const_tensor input = {nullptr, {1, 4, 4, 3}, {48, 12, 3, 1}};
    const sepconv_tensor results = {nullptr, {1, 2, 2, 2}, {8, 4, 2, 1}};
    EXPECT_EQ(sepconv_layer_enqueue(nullptr, &input, &results, nullptr), SEPCONV_ARGUMENT_ERROR);
    EXPECT_EQ(sepconv_layer_enqueue(layer.get(), nullptr, &results, nullptr), SEPCONV_ARGUMENT_ERROR);
    EXPECT_EQ(sepconv_layer_enqueue(layer.get(), &input, nullptr, nullptr), SEPCONV_ARGUMENT_ERROR);
}

TEST(CStatus, ListOfGpusThatGoesNowhereIsAnArgumentError) {
    const sepconv_gpu *gpus = nullptr;
    std::size_t count = 0;
    EXPECT_EQ(sepconv_gpus(nullptr, &count), SEPCONV_ARGUMENT_ERROR);
    EXPECT_EQ(sepconv_gpus(&gpus, nullptr), SEPCONV_ARGUMENT_ERROR);
}

TEST(CStatus, NullHandleIsAnArgumentError) {
    sepconv_arguments arguments = {};
    EXPECT_EQ(sepconv_config_arguments(nullptr, &arguments), SEPCONV_ARGUMENT_ERROR);
    EXPECT_STREQ(sepconv_last_error(), "config: expected a pointer, found NULL");
}

TEST(CStatus, NullJsonIsAnArgumentError) {
    sepconv_config *config = nullptr;
    EXPECT_EQ(sepconv_config_parse(nullptr, 0, nullptr, &config), SEPCONV_ARGUMENT_ERROR);
}

TEST(CStatus, NullImageIsAnArgumentError) {
    const Layer layer = layer_of(config_of());
    float result[2] = {};
    const sepconv_const_tensor input = {nullptr, {1, 3, 3, 3}, {}};
    const sepconv_tensor output = {result, {1, 1, 1, 2}, {}};
    EXPECT_EQ(sepconv_layer_run(layer.get(), &input, &output, nullptr), SEPCONV_ARGUMENT_ERROR);
    EXPECT_STREQ(sepconv_last_error(), "input.data: expected a pointer, found NULL");
}

TEST(CStatus, NullWeightsAreAnArgumentError) {
    const Config config = config_of();
    const TwoFilters filters;
    sepconv_weights weights = filters.weights();
    weights.bias = nullptr;
    sepconv_layer *layer = nullptr;
    EXPECT_EQ(sepconv_layer_create(config.get(), &weights, nullptr, &layer), SEPCONV_ARGUMENT_ERROR);
    EXPECT_STREQ(sepconv_last_error(), "weights.bias: expected a pointer, found NULL");
}

TEST(CStatus, HalfAnExecutorIsAnArgumentError) {
    const Layer layer = layer_of(config_of());
    const std::vector<float> image(27);
    float result[2] = {};
    const sepconv_const_tensor input = {image.data(), {1, 3, 3, 3}, {}};
    const sepconv_tensor output = {result, {1, 1, 1, 2}, {}};
    const sepconv_executor executor = {nullptr, [](void *) { return 1; }, nullptr};
    const sepconv_execution execution = {0, &executor};
    EXPECT_EQ(sepconv_layer_run(layer.get(), &input, &output, &execution), SEPCONV_ARGUMENT_ERROR);
}

TEST(CStatus, NumberOutsideAnEnumerationIsAnArgumentError) {
    int64_t output = 0, before = 0;
    EXPECT_EQ(sepconv_fit_window(7, 3, 2, 1, 7, &output, &before), SEPCONV_ARGUMENT_ERROR);
    EXPECT_STREQ(sepconv_last_error(), "padding: expected SEPCONV_VALID or SEPCONV_SAME, found 7");
}

TEST(CStatus, UnknownVersionIsAnArgumentError) {
    sepconv_parse_options options = {};
    options.version = 1;
    EXPECT_EQ(parse("{}", &options), SEPCONV_ARGUMENT_ERROR);
}

TEST(CStatus, StridesBeyondSixtyFourBitsAreAShapeError) {
    const Layer layer = layer_of(config_of());
    float value = 0;
    const int64_t huge = std::numeric_limits<int64_t>::max();
    const sepconv_const_tensor input = {&value, {1, huge, huge, 3}, {}};
    const sepconv_tensor output = {&value, {1, 1, 1, 2}, {}};
    EXPECT_EQ(sepconv_layer_run(layer.get(), &input, &output, nullptr), SEPCONV_SHAPE_ERROR);
}

TEST(CStatus, ExceptionFromTheCallersFunctionStaysInside) {
    sepconv_parse_options options = {};
    options.data_format = SEPCONV_CHANNELS_LAST;
    options.warn = [](void *, const char *) { throw std::runtime_error("mine"); };
    EXPECT_EQ(parse(R"({"filters": 2, "kernel_size": 3, "dtype": "bfloat16"})", &options), SEPCONV_INTERNAL_ERROR);
}

TEST(CStatus, EachThreadHasItsOwnMessage) {
    sepconv_config_arguments(nullptr, nullptr);
    std::string elsewhere = "unset";
    std::thread([&] { elsewhere = sepconv_last_error(); }).join();
    EXPECT_EQ(elsewhere, "");
}

TEST(CStatus, SuccessKeepsTheLastMessage) {
    sepconv_config_arguments(nullptr, nullptr);
    const Config config = config_of();
    EXPECT_THAT(sepconv_last_error(), EndsWith("found NULL"));
}

TEST(CStatus, FreeingNothingIsAllowed) {
    sepconv_config_free(nullptr);
    sepconv_layer_free(nullptr);
}

}  // namespace
