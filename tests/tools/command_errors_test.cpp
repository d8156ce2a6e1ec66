// Every kind of bad input through the command: exit code 2, a message on standard error that names the subcommand, the argument or the
// file, what was expected and what was found; nothing on standard output, and no output file touched.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "bad_configs.h"
#include "tools/spawned.h"

namespace sepconv::tools {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

using Words = std::vector<std::string>;

class CommandError : public CommandTest {
protected:
    CommandError() {
        write("layer.json", R"({"filters": 16, "kernel_size": 3})");
        write_weights("w.npz", {{"depthwise_kernel", {3, 3, 8, 1}}, {"pointwise_kernel", {1, 1, 8, 16}}, {"bias", {16}}});
        write_array("x.npy", {1, 9, 7, 8});
        write("y.npy", "as it was");
    }

    static Words run_layer(const Words &more = {}) {
        Words words = {"run", "--config", "layer.json", "--weights", "w.npz", "--input", "x.npy", "--output", "y.npy"};
        words.insert(words.end(), more.begin(), more.end());
        return words;
    }

    static Words run_layer_without(const std::string &option) {
        Words words = run_layer();
        const auto at = std::find(words.begin(), words.end(), option);
        words.erase(at, at + 2);
        return words;
    }

    static Words run_layer_with(const std::string &option, const std::string &value) {
        Words words = run_layer();
        *(std::find(words.begin(), words.end(), option) + 1) = value;
        return words;
    }

    // Runs it and holds it to what every error has in common and to the parts of its message.
    void expect_error(const Words &arguments, const std::string &start, const Words &parts,
                      const std::function<void()> &prepare = {}) const {
        const Words before = files();
        const Result result = run(arguments, prepare);
        EXPECT_EQ(result.code, 2);
        EXPECT_EQ(result.out, "");
        EXPECT_THAT(result.err, StartsWith(start));
        EXPECT_THAT(result.err, testing::EndsWith("\n"));
        for (const std::string &part : parts) EXPECT_THAT(result.err, HasSubstr(part));
        EXPECT_EQ(read("y.npy"), "as it was");
        EXPECT_EQ(files(), before);
    }
};

// ---- configs

class BadConfigs : public CommandError, public testing::WithParamInterface<BadConfig> {};

TEST_P(BadConfigs, RunNamesTheArgumentAndShowsWhatItFound) {
    write("layer.json", GetParam().config);
    expect_error(run_layer(), "sepconv run: layer.json: ", GetParam().parts);
}

TEST_P(BadConfigs, ExplainNamesTheArgumentAndShowsWhatItFound) {
    write("layer.json", GetParam().config);
    expect_error({"explain", "--config", "layer.json", "--input-shape", "1,9,7,8"}, "sepconv explain: layer.json: ", GetParam().parts);
}

INSTANTIATE_TEST_SUITE_P(Config, BadConfigs, testing::ValuesIn(bad_configs),
                         [](const testing::TestParamInfo<BadConfig> &info) { return info.param.name; });

TEST_F(CommandError, ConfigThatDoesNotExist) {
    expect_error(run_layer_with("--config", "none.json"), "sepconv run: none.json: ", {"No such file"});
}

TEST_F(CommandError, KerasJsonWithAnUnknownDataFormat) {
    write("keras.json", R"({"image_data_format": "NCHW"})");
    expect_error(run_layer(), "sepconv run: ", {"keras.json", "image_data_format", "channels_last", "NCHW"});
}

// ---- inputs

TEST_F(CommandError, InputOfOneImageWithoutABatch) {
    write_array("x.npy", {9, 7, 8});
    expect_error(run_layer(),
                 "sepconv run: x.npy: ", {"expected 4 dimensions, (N, H, W, C)", "found shape (9, 7, 8)", "first dimension of 1"});
}

TEST_F(CommandError, InputOfRankFive) {
    write_array("x.npy", {1, 1, 9, 7, 8});
    expect_error(run_layer(), "sepconv run: x.npy: ", {"expected 4 dimensions", "(1, 1, 9, 7, 8)"});
}

TEST_F(CommandError, InputOfAnotherNumberOfChannels) {
    write_array("x.npy", {1, 9, 7, 5});
    expect_error(run_layer(), "sepconv run: x.npy: ", {"expected 8 channels", "found 5", "(1, 9, 7, 5)"});
}

TEST_F(CommandError, InputWithChannelsLastForALayerWithChannelsFirst) {
    write("layer.json", R"({"filters": 16, "kernel_size": 3, "data_format": "channels_first"})");
    expect_error(run_layer(), "sepconv run: x.npy: ", {"expected 8 channels", "found 9 in (N, C, H, W) = (1, 9, 7, 8)"});
}

TEST_F(CommandError, InputSmallerThanAValidWindow) {
    write_array("x.npy", {1, 2, 7, 8});
    expect_error(run_layer(), "sepconv run: x.npy: ", {"expected", "3", "found", "2"});
}

TEST_F(CommandError, InputSmallerThanADilatedWindow) {
    write("layer.json", R"({"filters": 16, "kernel_size": 3, "dilation_rate": 4})");
    expect_error(run_layer(), "sepconv run: x.npy: ", {"expected", "9", "found", "7"});
}

TEST_F(CommandError, InputThatDoesNotExist) {
    expect_error(run_layer_with("--input", "none.npy"), "sepconv run: none.npy: ", {"No such file"});
}

TEST_F(CommandError, InputThatIsAFolder) { expect_error(run_layer_with("--input", "."), "sepconv run: .: ", {"expected", "directory"}); }

TEST_F(CommandError, InputThatIsNoArray) {
    write("x.npy", "PNG");
    expect_error(run_layer(), "sepconv run: x.npy: ", {"expected a .npy array", "found 'PNG'"});
}

TEST_F(CommandError, InputThatIsCutOff) {
    write("x.npy", read("x.npy").substr(0, 400));
    expect_error(run_layer(), "sepconv run: x.npy: ", {"expected 2016 bytes", "bytes are missing"});
}

TEST_F(CommandError, InputOfIntegers) {
    std::string bytes = read("x.npy");
    bytes.replace(bytes.find("<f4"), 3, "<i4");
    write("x.npy", bytes);
    expect_error(run_layer(), "sepconv run: x.npy: ", {"expected float16, float32 or float64", "<i4"});
}

// ---- weights

TEST_F(CommandError, WeightsThatDoNotExist) {
    expect_error(run_layer_with("--weights", "none.npz"), "sepconv run: none.npz: ", {"No such file"});
}

TEST_F(CommandError, WeightsWithoutAPointwiseKernel) {
    write_weights("w.npz", {{"depthwise_kernel", {3, 3, 8, 1}}, {"bias", {16}}});
    expect_error(run_layer(), "sepconv run: w.npz: ", {"expected an array pointwise_kernel", "depthwise_kernel"});
}

TEST_F(CommandError, WeightsOfAnotherKernelSize) {
    write_weights("w.npz", {{"depthwise_kernel", {5, 5, 8, 1}}, {"pointwise_kernel", {1, 1, 8, 16}}, {"bias", {16}}});
    expect_error(run_layer(), "sepconv run: w.npz: ", {"depthwise_kernel: expected shape (3, 3, channels, 1)", "found (5, 5, 8, 1)"});
}

TEST_F(CommandError, WeightsOfAnotherDepthMultiplier) {
    write_weights("w.npz", {{"depthwise_kernel", {3, 3, 8, 2}}, {"pointwise_kernel", {1, 1, 16, 16}}, {"bias", {16}}});
    expect_error(run_layer(), "sepconv run: w.npz: ", {"depthwise_kernel: expected shape", "found (3, 3, 8, 2)"});
}

TEST_F(CommandError, WeightsOfOtherFilters) {
    write_weights("w.npz", {{"depthwise_kernel", {3, 3, 8, 1}}, {"pointwise_kernel", {1, 1, 8, 12}}, {"bias", {16}}});
    expect_error(run_layer(), "sepconv run: w.npz: ", {"pointwise_kernel: expected shape (1, 1, 8, 16)", "found (1, 1, 8, 12)"});
}

TEST_F(CommandError, WeightsOfAnotherBias) {
    write_weights("w.npz", {{"depthwise_kernel", {3, 3, 8, 1}}, {"pointwise_kernel", {1, 1, 8, 16}}, {"bias", {8}}});
    expect_error(run_layer(), "sepconv run: w.npz: ", {"bias: expected shape (16)", "found (8)"});
}

TEST_F(CommandError, WeightsWithoutTheBias) {
    write_weights("w.npz", {{"depthwise_kernel", {3, 3, 8, 1}}, {"pointwise_kernel", {1, 1, 8, 16}}});
    expect_error(run_layer(), "sepconv run: w.npz: ", {"bias: use_bias is true", "found none"});
}

TEST_F(CommandError, WeightsWithABiasThatTheLayerHasNot) {
    write("layer.json", R"({"filters": 16, "kernel_size": 3, "use_bias": false})");
    expect_error(run_layer(), "sepconv run: w.npz: ", {"bias: use_bias is false: expected none", "found shape (16)"});
}

TEST_F(CommandError, WeightsThatAreNoArchive) {
    write("w.npz", "not a zip");
    expect_error(run_layer(), "sepconv run: w.npz: ", {"expected a zip archive"});
}

// ---- models

const std::string model = std::string(SEPCONV_TEST_DATA) + "/golden/models/keras3_nested.h5";

TEST_F(CommandError, ModelThatDoesNotExist) {
    expect_error({"run", "--model", "none.keras", "--layer", "a", "--input", "x.npy", "--output", "y.npy"},
                 "sepconv run: none.keras: ", {"No such file"});
}

TEST_F(CommandError, ModelThatIsNoModel) {
    write("m.h5", "something else");
    expect_error({"info", "--model", "m.h5"}, "sepconv info: m.h5: ", {"expected a Keras model", "something else"});
}

TEST_F(CommandError, LayerThatTheModelHasNot) {
    expect_error({"run", "--model", model, "--layer", "conv9", "--input", "x.npy", "--output", "y.npy"}, "sepconv run: " + model,
                 {"no SeparableConv2D is called 'conv9'", "inner_block/frozen"});
}

TEST_F(CommandError, LayerNotNamedListsThoseOfTheModel) {
    expect_error({"run", "--model", model, "--input", "x.npy", "--output", "y.npy"},
                 "sepconv run: --layer: ", {"expected the name of a layer", "inner_block/frozen"});
}

TEST_F(CommandError, ModelConfigWithoutItsWeights) {
    const std::string config = std::string(SEPCONV_TEST_DATA) + "/golden/models/keras3_nested.json";
    expect_error({"run", "--model", config, "--layer", "after", "--input", "x.npy", "--output", "y.npy"}, "sepconv run: " + config,
                 {"the weights of after are in no file"});
}

TEST_F(CommandError, ModelWeightsForAWholeModel) {
    const std::string weights = std::string(SEPCONV_TEST_DATA) + "/golden/models/keras3_nested.weights.h5";
    expect_error({"info", "--model", model, "--model-weights", weights}, "sepconv info: " + model,
                 {"expected a model's config as JSON", "found a whole model"});
}

// ---- the command line

TEST_F(CommandError, IsWrongInputEvenWhereStandardErrorIsClosed) {
    EXPECT_EQ(run({"benchmark"}, [] { close(STDERR_FILENO); }).code, 2);
}

TEST_F(CommandError, GenerateWithoutItsProgramNamesTheComponent) {
    const Result result = script("cp $(command -v sepconv) alone; ./alone generate -g separable_conv2d");
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, StartsWith("sepconv generate: expected the program sepconv-generators, found none"));
    EXPECT_THAT(result.err, HasSubstr("component generators"));
}

TEST_F(CommandError, NoSubcommandListsThem) { expect_error({}, "sepconv: ", {"expected a subcommand (run, info, explain", "found none"}); }

TEST_F(CommandError, UnknownSubcommandListsTheKnownOnes) {
    expect_error({"benchmark"}, "sepconv: ", {"expected a subcommand (run, info, explain", "found \"benchmark\""});
}

TEST_F(CommandError, UnknownOptionBeforeTheSubcommand) { expect_error({"--verbose", "info"}, "sepconv: ", {"found \"--verbose\""}); }

TEST_F(CommandError, UnknownOption) { expect_error(run_layer({"--fast", "yes"}), "sepconv run: ", {"unknown argument --fast"}); }

TEST_F(CommandError, OptionWithoutItsValue) {
    expect_error({"run", "--config", "layer.json", "--input"}, "sepconv run: ", {"--input", "missing"});
}

TEST_F(CommandError, OptionGivenTwice) { expect_error(run_layer({"--input", "x.npy"}), "sepconv run: ", {"--input", "received 2"}); }

TEST_F(CommandError, InputNotGiven) { expect_error(run_layer_without("--input"), "sepconv run: --input: ", {"expected a .npy file"}); }

TEST_F(CommandError, OutputNotGiven) { expect_error(run_layer_without("--output"), "sepconv run: --output: ", {"expected", "found none"}); }

TEST_F(CommandError, ConfigWithoutWeights) {
    expect_error(run_layer_without("--weights"), "sepconv run: ", {"expected --config with --weights", "found --config"});
}

TEST_F(CommandError, NeitherConfigNorModel) {
    expect_error({"run", "--input", "x.npy", "--output", "y.npy"}, "sepconv run: ", {"--model with --layer", "found none of them"});
}

TEST_F(CommandError, ConfigAndModel) {
    expect_error(run_layer({"--model", model, "--layer", "after"}), "sepconv run: ",
                 {"expected --config with --weights, or --model with --layer", "found --config --weights --model --layer"});
}

TEST_F(CommandError, InfoOnModelWeightsAlone) {
    expect_error({"info", "--model-weights", "a.weights.h5"}, "sepconv info: --model-weights: ", {"expected --model", "found none"});
}

TEST_F(CommandError, TargetUnknownListsWhatThereIs) {
    expect_error(run_layer({"--target", "neon"}), "sepconv run: --target: ", {"expected one of host", "sse41", "found \"neon\""});
}

TEST_F(CommandError, TargetInTheEnvironmentUnknown) {
    expect_error(run_layer(), "sepconv run: SEPCONV_TARGET: ", {"expected one of", "sse41", "found \"neon\""},
                 [] { setenv("SEPCONV_TARGET", "neon", 1); });
}

TEST_F(CommandError, TargetThatTheLibraryHasNot) {
    expect_error(run_layer({"--target", "metal"}), "sepconv run: --target: ", {"expected one of host", "found \"metal\""});
}

TEST_F(CommandError, GpuThatDoesNotRunHereSaysWhy) {
    for (const Gpu &gpu : gpus()) {
        if (gpu.why_not.empty()) continue;
        expect_error(run_layer({"--target", gpu.target}),
                     "sepconv run: --target: ", {"expected one of host", fmt::format("found \"{}\": {}", gpu.target, gpu.why_not)});
    }
}

TEST_F(CommandError, GpuComputesNothingInHalfPrecision) {
    for (const Gpu &gpu : gpus()) {
        expect_error(run_layer({"--target", gpu.target, "--arithmetic", "float16"}), "sepconv run: --target: ", {"expected one of host"});
    }
}

TEST_F(CommandError, ThreadsNegative) {
    expect_error(run_layer({"--threads", "-1"}), "sepconv run: --threads: ", {"expected a whole number from 0", "found \"-1\""});
}

TEST_F(CommandError, ThreadsNotANumber) {
    expect_error(run_layer({"--threads", "2x"}), "sepconv run: --threads: ", {"expected a whole number", "found \"2x\""});
}

TEST_F(CommandError, OutputInAFolderThatDoesNotExist) {
    expect_error(run_layer_with("--output", "none/y.npy"), "sepconv run: --output: ", {"none/y.npy", "folder none"});
}

TEST_F(CommandError, OutputThatIsAFolder) { expect_error(run_layer_with("--output", "."), "sepconv run: --output: ", {"a folder"}); }

TEST_F(CommandError, OutputThatIsADevice) {
    expect_error(run_layer_with("--output", "/dev/full"), "sepconv run: --output: ", {"/dev/full", "a device or pipe"});
}

class BadShapes : public CommandError, public testing::WithParamInterface<const char *> {};

TEST_P(BadShapes, ExplainShowsWhatItExpects) {
    expect_error({"explain", "--config", "layer.json", "--input-shape", GetParam()}, "sepconv explain: --input-shape: ",
                 {"expected four whole numbers such as 1,60,60,8", fmt::format("found \"{}\"", GetParam())});
}

INSTANTIATE_TEST_SUITE_P(Text, BadShapes,
                         testing::Values("1,60,60", "1,60,60,8,1", "1,60,60,", "1x60x60x8", "1,-60,60,8", "a,b,c,d", " 1,2,3,4",
                                         "1,60,60,99999999999999999999"));

TEST_F(CommandError, ExplainWithoutAShape) {
    expect_error({"explain", "--config", "layer.json"}, "sepconv explain: --input-shape: ", {"expected four whole numbers", "found none"});
}

TEST_F(CommandError, ExplainOfAWindowLargerThanTheImage) {
    expect_error({"explain", "--config", "layer.json", "--input-shape", "1,2,60,8"},
                 "sepconv explain: --input-shape 1,2,60,8: ", {"expected", "3", "found", "2"});
}

TEST_F(CommandError, ExplainOfOtherChannelsThanTheModelHas) {
    expect_error({"explain", "--model", model, "--layer", "after", "--input-shape", "1,9,9,5"},
                 "sepconv explain: --input-shape 1,9,9,5: ", {"expected 4 channels", "found 5"});
}

TEST_F(CommandError, ExplainOfWeightsThatNobodyHas) {
    write("layer.json", R"({"filters": 1000000, "kernel_size": 3})");
    expect_error({"explain", "--config", "layer.json", "--input-shape", "1,9,9,1000000"},
                 "sepconv explain: --input-shape 1,9,9,1000000: ", {"1000000 channels", "at most 1024 MiB"});
}

}  // namespace
}  // namespace sepconv::tools
