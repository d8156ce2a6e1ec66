// Model files in forms that the files which Keras itself wrote (tests/golden/models) do not have, and how layers are looked up.
#include <gmock/gmock.h>

#include "hdf5_writer.h"
#include "scratch.h"
#include "sepconv/error.h"
#include "sepconv/io.h"
#include "zip_bytes.h"

namespace sepconv {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string layer(const std::string &class_name, const std::string &config) {
    return R"({"class_name": ")" + class_name + R"(", "config": {)" + config + "}}";
}

std::string separable(const std::string &name, const std::string &more = "") {
    return layer("SeparableConv2D", R"("name": ")" + name + R"(", "filters": 1, "kernel_size": 1, "use_bias": false)" + more);
}

std::string model(const std::string &name, const std::string &layers) {
    return layer("Functional", R"("name": ")" + name + R"(", "layers": [)" + layers + "]");
}

// A layer's weights for two channels; the first value tells the layers of a test apart.
void write_weights(Hdf5Writer &writer, const std::string &group, float mark, const std::string &end = ":0") {
    writer.floats(group + "/depthwise_kernel" + end, {1, 1, 2, 1}, {mark, 1});
    writer.floats(group + "/pointwise_kernel" + end, {1, 1, 2, 1}, {2, 3});
}

std::vector<std::string> weight_names(const std::vector<std::string> &folders) {
    std::vector<std::string> names;
    for (const std::string &folder : folders) {
        for (const char *leaf : {"depthwise_kernel:0", "pointwise_kernel:0"}) names.push_back(folder + "/" + leaf);
    }
    return names;
}

class Models : public testing::Test {
protected:
    std::filesystem::path file() const { return scratch / "m.h5"; }
    static float mark(const ModelFile &file, const std::string &layer) { return file.weights(layer).depthwise_kernel.values.front(); }

    Scratch scratch;
};

TEST_F(Models, ThePathBelowALayersGroupComesFromWeightNames) {
    {
        Hdf5Writer writer(file());
        writer.strings("/", "model_config", {model("m", separable("a"))});
        writer.strings("/", "keras_version", {"2.0.5"}, 5);
        write_weights(writer, "model_weights/a/elsewhere/a_1_1", 5);
        writer.strings("model_weights/a", "weight_names", weight_names({"elsewhere/a_1_1"}), 64);
    }
    const ModelFile opened(file());
    EXPECT_EQ(opened.format(), "Keras 2 HDF5 (keras_version 2.0.5)");
    ASSERT_EQ(opened.layers().size(), 1u);
    EXPECT_EQ(opened.layers()[0].input_channels, 2);
    EXPECT_EQ(mark(opened, "a"), 5);
}

TEST_F(Models, Float16IsARemarkOnlyForALayerOfFloat32) {
    {
        const hid_t half = H5Tcopy(H5T_IEEE_F32LE);
        H5Tset_fields(half, 15, 10, 5, 0, 10);
        H5Tset_size(half, 2);
        H5Tset_ebias(half, 15);
        Hdf5Writer writer(file());
        writer.strings("/", "model_config", {model("m", separable("a", R"(, "dtype": "mixed_float16")") + "," + separable("b"))});
        writer.strings("/", "keras_version", {"2.0.5"}, 5);
        for (const std::string name : {"a", "b"}) {
            writer.floats("model_weights/" + name + "/" + name + "/depthwise_kernel:0", {1, 1, 2, 1}, {3, 1}, half);
            writer.floats("model_weights/" + name + "/" + name + "/pointwise_kernel:0", {1, 1, 2, 1}, {2, 3}, half);
            writer.strings("model_weights/" + name, "weight_names", weight_names({name}), 64);
        }
        H5Tclose(half);
    }
    std::vector<std::string> notes;
    ReadOptions options;
    options.warn = [&](const std::string &note) { notes.push_back(note); };
    const ModelFile opened(file(), {}, options);
    EXPECT_EQ(mark(opened, "a"), 3);
    EXPECT_THAT(notes, testing::IsEmpty());
    EXPECT_EQ(mark(opened, "b"), 3);
    EXPECT_THAT(notes, ElementsAre(HasSubstr("converted from float16"), HasSubstr("converted from float16")));
}

TEST_F(Models, ASplitAttributeIsJoined) {
    {
        Hdf5Writer writer(file());
        writer.strings("/", "model_config", {model("m", separable("a"))});
        write_weights(writer, "model_weights/a/a", 5);
        const std::vector<std::string> names = weight_names({"a"});
        writer.strings("model_weights/a", "weight_names0", {names[0]});
        writer.strings("model_weights/a", "weight_names1", {names[1]});
    }
    EXPECT_EQ(mark(ModelFile(file()), "a"), 5);
}

TEST_F(Models, ALayerWithoutWeightsHasNoInputChannels) {
    {
        Hdf5Writer writer(file());
        writer.strings("/", "model_config", {model("m", separable("a") + "," + separable("b"))});
        writer.group("model_weights/a");
        writer.no_strings("model_weights/a", "weight_names");
    }
    const ModelFile opened(file());
    EXPECT_EQ(opened.layers()[0].input_channels, 0);
    EXPECT_EQ(opened.layers()[1].input_channels, 0);
}

TEST_F(Models, NestedLayersOfOneNameAreToldApartByWhatIsAroundThem) {
    {
        Hdf5Writer writer(file());
        const std::string inner = model("inner", model("one", separable("a")) + "," + model("two", separable("a")));
        writer.strings("/", "model_config", {model("m", inner)});
        // Not in the model's order, so that only the names can tell.
        write_weights(writer, "model_weights/inner/two/a", 2);
        write_weights(writer, "model_weights/inner/one/a", 1);
        writer.strings("model_weights/inner", "weight_names", weight_names({"two/a", "one/a"}));
    }
    const ModelFile opened(file());
    EXPECT_EQ(mark(opened, "inner/one/a"), 1);
    EXPECT_EQ(mark(opened, "inner/two/a"), 2);
}

TEST_F(Models, NestedLayersWhoseNamesTellNothingAreTakenInOrderTheFrozenLast) {
    {
        Hdf5Writer writer(file());
        const std::string inner = model("inner", separable("a", R"(, "trainable": false)") + "," + separable("b") + "," + separable("c"));
        writer.strings("/", "model_config", {model("m", inner)});
        write_weights(writer, "model_weights/inner/x", 2);
        write_weights(writer, "model_weights/inner/y", 3);
        write_weights(writer, "model_weights/inner/z", 1);
        writer.strings("model_weights/inner", "weight_names", weight_names({"x", "y", "z"}));
    }
    const ModelFile opened(file());
    EXPECT_EQ(mark(opened, "a"), 1);
    EXPECT_EQ(mark(opened, "b"), 2);
    EXPECT_EQ(mark(opened, "c"), 3);
}

TEST_F(Models, OtherLayersKernelsBesideItAreNotTaken) {
    {
        Hdf5Writer writer(file());
        writer.strings("/", "model_config",
                       {model("m", model("inner", layer("DepthwiseConv2D", R"("name": "d")") + "," + separable("a")))});
        writer.floats("model_weights/inner/d/depthwise_kernel:0", {1, 1, 2, 1}, {8, 8});
        write_weights(writer, "model_weights/inner/x", 1);
        std::vector<std::string> names = weight_names({"x"});
        names.insert(names.begin(), "d/depthwise_kernel:0");
        writer.strings("model_weights/inner", "weight_names", names);
    }
    EXPECT_EQ(mark(ModelFile(file()), "a"), 1);
}

TEST_F(Models, AModelsOwnWeightsBesideTheLayersDoNotDisturb) {
    {
        Hdf5Writer writer(file());
        writer.strings("/", "model_config", {model("m", separable("a"))});
        write_weights(writer, "model_weights/a/a", 5);
        writer.strings("model_weights/a", "weight_names", weight_names({"a"}));
        writer.floats("model_weights/top_level_model_weights/scale:0", {1}, {1});
        writer.strings("model_weights/top_level_model_weights", "weight_names", {"scale:0"});
    }
    EXPECT_EQ(mark(ModelFile(file()), "a"), 5);
}

TEST_F(Models, WeightsThatKeras2SavedAloneGoWithTheConfigAsJson) {
    write_bytes(scratch / "m.json",
                R"({"class_name": "Functional", "keras_version": "2.13.1", "config": {"name": "m", "layers": [)" + separable("a") + "]}}");
    {
        Hdf5Writer writer(file());
        writer.strings("/", "layer_names", {"a"});
        write_weights(writer, "a/a", 5);
        writer.strings("a", "weight_names", weight_names({"a"}));
    }
    const ModelFile opened(scratch / "m.json", file());
    EXPECT_EQ(opened.format(), "Keras 2 config as JSON with its weights in HDF5 (keras_version 2.13.1)");
    EXPECT_EQ(mark(opened, "a"), 5);
}

TEST_F(Models, AKerasFileIsReadFromStoredAndDeflatedMembers) {
    {
        Hdf5Writer writer(file());
        writer.floats("layers/separable_conv2d/vars/0", {1, 1, 2, 1}, {5, 1});
        writer.floats("layers/separable_conv2d/vars/1", {1, 1, 2, 1}, {2, 3});
    }
    for (const int method : {ZIP_CM_STORE, ZIP_CM_DEFLATE}) {
        const ModelFile opened(write_zip(scratch / "m.keras",
                                         {{"metadata.json", R"({"keras_version": "3.1.0"})"},
                                          {"config.json", model("m", separable("a"))},
                                          {"model.weights.h5", bytes_of(file())}},
                                         method));
        EXPECT_EQ(opened.format(), "Keras 3 .keras (keras_version 3.1.0)");
        EXPECT_EQ(mark(opened, "a"), 5);
    }
}

TEST_F(Models, TheNameInTheFileDecidesWhereTheOrderIsAnother) {
    {
        Hdf5Writer writer(file());
        for (const auto &[group, name, mark] : {std::tuple{"separable_conv2d", "b", 2.f}, std::tuple{"separable_conv2d_1", "a", 1.f}}) {
            const std::string variables = std::string("layers/") + group + "/vars";
            writer.floats(variables + "/0", {1, 1, 2, 1}, {mark, 1});
            writer.floats(variables + "/1", {1, 1, 2, 1}, {2, 3});
            writer.strings(variables, "name", {name});
        }
    }
    write_bytes(scratch / "m.json", model("m", separable("a") + "," + separable("b")));
    const ModelFile opened(scratch / "m.json", file());
    EXPECT_EQ(mark(opened, "a"), 1);
    EXPECT_EQ(mark(opened, "b"), 2);
}

TEST_F(Models, AConfigWithoutWeightsListsItsLayers) {
    const ModelFile opened(write_bytes(scratch / "m.json", model("m", separable("a") + "," + model("inner", separable("b")))));
    ASSERT_EQ(opened.layers().size(), 2u);
    EXPECT_EQ(opened.layers()[1].name, "inner/b");
    EXPECT_EQ(opened.config("b").name, "b");
    EXPECT_EQ(opened.format(), "Keras 3 config as JSON (no keras_version)");
}

TEST_F(Models, ABareNameIsEnoughWhereItIsUniqueAndAFullOneAlways) {
    const std::string layers = separable("a") + "," + model("x", separable("a") + "," + separable("b"));
    const ModelFile opened(write_bytes(scratch / "m.json", model("m", layers)));
    EXPECT_EQ(&opened.config("a"), &opened.layers()[0].config);
    EXPECT_EQ(&opened.config("x/a"), &opened.layers()[1].config);
    EXPECT_EQ(&opened.config("b"), &opened.layers()[2].config);
}

TEST_F(Models, WhichKerasWroteTheFileDecidesWhatHardSigmoidMeans) {
    const auto kind = [&](const char *version) {
        {
            Hdf5Writer writer(file());
            writer.strings("/", "model_config", {model("m", separable("a", R"(, "activation": "hard_sigmoid")"))});
            writer.strings("/", "keras_version", {version});
        }
        return ModelFile(file()).config("a").activation.kind;
    };
    EXPECT_EQ(kind("2.12.0"), ActivationKind::hard_sigmoid_keras2);
    EXPECT_EQ(kind("3.0.0"), ActivationKind::hard_sigmoid);
}

TEST_F(Models, AConfigFileOfOneLayerIsRead) {
    const auto path =
        write_bytes(scratch / "layer.json", R"({"name": "a", "filters": 3, "kernel_size": [1, 2], "activation": "hard_sigmoid"})");
    const LayerConfig config = read_config(path);
    EXPECT_EQ(config.filters, 3);
    EXPECT_EQ(config.activation.kind, ActivationKind::hard_sigmoid);
}

TEST_F(Models, AConfigFileInKeras2sFormHasKeras2sHardSigmoid) {
    const auto path = write_bytes(scratch / "layer.json", R"({"filters": 3, "kernel_size": 1, "groups": 1, "activation": "hard_sigmoid"})");
    EXPECT_EQ(read_config(path).activation.kind, ActivationKind::hard_sigmoid_keras2);
}

// A model with one layer that has weights for two channels, behind an input of another shape.
std::string behind_input(const std::string &shape) {
    return layer("Sequential", R"("name": "m", "layers": [)" + layer("InputLayer", R"("name": "i", "batch_shape": )" + shape) + "," +
                                   separable("a") + "]");
}

TEST_F(Models, ChannelsThatTheModelLeavesOpenAreThoseOfTheWeights) {
    {
        Hdf5Writer writer(file());
        writer.strings("/", "model_config", {behind_input("[null, 5, null, null]")});
        write_weights(writer, "model_weights/a/a", 5);
        writer.strings("model_weights/a", "weight_names", weight_names({"a"}), 64);
    }
    EXPECT_THAT(ModelFile(file()).input_shapes()[0].shape, ElementsAre(-1, 5, -1, 2));
}

TEST_F(Models, ChannelsThatAreNotThoseOfTheWeightsAreAReason) {
    {
        Hdf5Writer writer(file());
        writer.strings("/", "model_config", {behind_input("[null, 5, 6, 3]")});
        write_weights(writer, "model_weights/a/a", 5);
        writer.strings("model_weights/a", "weight_names", weight_names({"a"}), 64);
    }
    const std::vector<InferredShape> found = ModelFile(file()).input_shapes();
    EXPECT_THAT(found[0].shape, testing::IsEmpty());
    EXPECT_EQ(found[0].reason, "expected 2 channels, as its weights have, found (-1, 5, 6, 3)");
}

}  // namespace
}  // namespace sepconv
