// What is wrong with a model file.
#include <gmock/gmock.h>

#include "hdf5_writer.h"
#include "scratch.h"
#include "sepconv/error.h"
#include "sepconv/io.h"
#include "zip_bytes.h"

namespace sepconv {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string model(const std::string &layers) {
    return R"({"class_name": "Functional", "config": {"name": "m", "layers": [)" + layers + "]}}";
}

std::string separable(const std::string &name, const std::string &more = "") {
    return R"({"class_name": "SeparableConv2D", "config": {"name": ")" + name + R"(", "filters": 1, "kernel_size": 1, "use_bias": false)" +
           more + "}}";
}

std::string inside(const std::string &name, const std::string &layers) {
    return R"({"class_name": "Sequential", "config": {"name": ")" + name + R"(", "layers": [)" + layers + "]}}";
}

class ModelErrors : public testing::Test {
protected:
    std::filesystem::path file() const { return scratch / "m.h5"; }

    template <typename Exception = FileError>
    std::string error(const std::filesystem::path &path, const std::filesystem::path &weights = {}) const {
        return message_of<Exception>([&] { ModelFile(path, weights); });
    }

    Scratch scratch;
};

TEST_F(ModelErrors, AMissingFileIsNamedWithTheSystemsReason) {
    EXPECT_THAT(error(scratch / "none.h5"), AllOf(HasSubstr("none.h5: cannot be opened: No such file")));
}

TEST_F(ModelErrors, AnotherFormatShowsHowItBegins) {
    EXPECT_THAT(
        error(write_bytes(file(), "version https://git-lfs.github.com")),
        HasSubstr("m.h5: expected a Keras model (HDF5, a .keras zip, or a config as JSON), found a file that begins with 'version https"));
}

TEST_F(ModelErrors, AnEmptyFileIsCalledEmpty) { EXPECT_THAT(error(write_bytes(file(), "")), HasSubstr("found an empty file")); }

TEST_F(ModelErrors, AFolderIsNoFile) { EXPECT_THAT(error(scratch.folder()), HasSubstr("expected a file, found a directory")); }

TEST_F(ModelErrors, WeightsAloneAskForTheConfig) {
    Hdf5Writer(file()).group("layers");
    EXPECT_THAT(error(file()), HasSubstr("m.h5: expected the attribute model_config, found none: for a file of weights alone"));
}

TEST_F(ModelErrors, AWholeModelTakesNoOtherWeights) {
    Hdf5Writer(file()).group("layers");
    EXPECT_THAT(error(file(), file()), HasSubstr("expected a model's config as JSON"));
}

TEST_F(ModelErrors, WeightsBesideAConfigAreHdf5) {
    const auto config = write_bytes(scratch / "m.json", model(separable("a")));
    EXPECT_THAT(error(config, config), HasSubstr("m.json: expected weights as HDF5"));
}

TEST_F(ModelErrors, ALayerWithOtherWeightsListsThem) {
    {
        Hdf5Writer writer(file());
        writer.strings("/", "model_config", {model(separable("conv_3"))});
        writer.group("model_weights/conv_3");
        writer.strings("model_weights/conv_3", "weight_names", {"conv_3/kernel:0", "conv_3/bias:0"});
    }
    EXPECT_THAT(error(file()),
                HasSubstr("m.h5: model_weights/conv_3 has no depthwise_kernel (found: kernel, bias); is conv_3 a SeparableConv2D?"));
}

TEST_F(ModelErrors, AWeightNameThatLeadsNowhereIsNamed) {
    {
        Hdf5Writer writer(file());
        writer.strings("/", "model_config", {model(separable("a"))});
        writer.group("model_weights/a");
        writer.strings("model_weights/a", "weight_names", {"a/depthwise_kernel:0", "a/pointwise_kernel:0"});
    }
    EXPECT_THAT(error(file()), HasSubstr("m.h5: model_weights/a/a/depthwise_kernel:0: expected a dataset, found nothing"));
}

TEST_F(ModelErrors, AKernelThatDoesNotFitTheConfigShowsBothShapes) {
    {
        Hdf5Writer writer(file());
        writer.strings("/", "model_config", {model(separable("a"))});
        writer.floats("model_weights/a/depthwise_kernel:0", {3, 1, 1, 1}, {1, 2, 3});
        writer.floats("model_weights/a/pointwise_kernel:0", {1, 1, 1, 1}, {1});
        writer.strings("model_weights/a", "weight_names", {"depthwise_kernel:0", "pointwise_kernel:0"});
    }
    EXPECT_THAT(error(file()), HasSubstr("expected the depthwise_kernel shaped (1, 1, 1, 1) by the layer's config, found (3, 1, 1, 1)"));
}

TEST_F(ModelErrors, AMissingBiasIsNamed) {
    {
        Hdf5Writer writer(file());
        writer.strings("/", "model_config", {model(separable("a", R"(, "use_bias": true)"))});
        writer.floats("model_weights/a/depthwise_kernel:0", {1, 1, 1, 1}, {1});
        writer.floats("model_weights/a/pointwise_kernel:0", {1, 1, 1, 1}, {1});
        writer.strings("model_weights/a", "weight_names", {"depthwise_kernel:0", "pointwise_kernel:0"});
    }
    EXPECT_THAT(error(file()), HasSubstr("use_bias is true"));
}

TEST_F(ModelErrors, ABadConfigNamesTheFileTheLayerAndTheArgument) {
    const auto path = write_bytes(scratch / "m.json", model(inside("inner", separable("a", R"(, "strides": [2, 0])"))));
    EXPECT_THAT(error<ConfigError>(path), AllOf(StartsWith(path.string() + ": inner/a"), HasSubstr("strides")));
}

TEST_F(ModelErrors, AnUnknownLayerListsTheKnownOnes) {
    const ModelFile opened(write_bytes(scratch / "m.json", model(separable("a") + "," + inside("x", separable("b")))));
    EXPECT_THAT(message_of<FileError>([&] { opened.config("c"); }), HasSubstr("m.json: no SeparableConv2D is called 'c' (found: a, x/b)"));
}

TEST_F(ModelErrors, AnAmbiguousLayerListsTheCandidates) {
    const ModelFile opened(write_bytes(scratch / "m.json", model(inside("x", separable("a")) + "," + inside("y", separable("a")))));
    EXPECT_THAT(message_of<FileError>([&] { opened.config("a"); }),
                HasSubstr("'a' is the name of several layers, name one in full: x/a, y/a"));
}

TEST_F(ModelErrors, WeightsThatAreNowhereAreNotRead) {
    const ModelFile opened(write_bytes(scratch / "m.json", model(separable("a"))));
    EXPECT_THAT(message_of<FileError>([&] { opened.weights("a"); }), HasSubstr("the weights of a are in no file that was given"));
}

TEST_F(ModelErrors, WeightsOfALayerThatWasNeverBuiltAreNotThere) {
    {
        Hdf5Writer writer(file());
        writer.strings("/", "model_config", {model(separable("a"))});
        writer.group("model_weights/a");
    }
    const ModelFile opened(file());
    EXPECT_THAT(message_of<FileError>([&] { opened.weights("a"); }), HasSubstr("m.h5: expected weights for a, found none"));
}

TEST_F(ModelErrors, AKerasFileWithoutItsConfigListsItsMembers) {
    EXPECT_THAT(error(write_zip(scratch / "m.keras", {{"other.txt", "x"}})),
                HasSubstr("m.keras: expected a member 'config.json', found other.txt"));
}

TEST_F(ModelErrors, TheGroupOfAnotherLayerIsNotTaken) {
    {
        Hdf5Writer writer(file());
        writer.floats("layers/separable_conv2d/vars/0", {1, 1, 1, 1}, {1});
        writer.strings("layers/separable_conv2d/vars", "name", {"b"});
    }
    EXPECT_THAT(error(write_bytes(scratch / "m.json", model(separable("a"))), file()),
                HasSubstr("layers/separable_conv2d: expected the layer 'a', found 'b'"));
}

TEST_F(ModelErrors, AnImageAboveTheLimitIsNotRead) {
    Hdf5Writer(file()).group("layers");
    const auto path = write_zip(scratch / "m.keras", {{"config.json", model(separable("a"))}, {"model.weights.h5", bytes_of(file())}});
    ReadOptions options;
    options.max_bytes = 100;
    EXPECT_THAT(message_of<FileError>([&] { ModelFile(path, {}, options); }), HasSubstr("model.weights.h5: expected at most 100 bytes"));
}

TEST_F(ModelErrors, AConfigFileThatIsNoJsonIsAConfigError) {
    const auto path = write_bytes(scratch / "layer.json", "filters: 3");
    EXPECT_THAT(message_of<ConfigError>([&] { read_config(path); }), StartsWith(path.string() + ": "));
}

TEST_F(ModelErrors, AMissingConfigFileIsAFileError) {
    EXPECT_THAT(message_of<FileError>([&] { read_config(scratch / "none.json"); }), HasSubstr("none.json: cannot be opened"));
}

}  // namespace
}  // namespace sepconv
