// Reading .npz archives, and a layer's weights from one.
#include <gmock/gmock.h>

#include "npy_bytes.h"
#include "scratch.h"
#include "sepconv/error.h"
#include "sepconv/io.h"
#include "zip_bytes.h"

namespace sepconv {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Members weights() {
    return {{"depthwise_kernel.npy", npy_bytes(npy_header("<f4", "(1, 2, 1, 2)"), raw<float>({1, 2, 3, 4}))},
            {"pointwise_kernel.npy", npy_bytes(npy_header("<f4", "(1, 1, 2, 1)"), raw<float>({5, 6}))},
            {"bias.npy", npy_bytes(npy_header("<f4", "(1,)"), raw<float>({7}))}};
}

TEST(Npz, StoredAndDeflatedMembersReadTheSame) {
    const Scratch scratch;
    for (const int method : {ZIP_CM_STORE, ZIP_CM_DEFLATE}) {
        const auto arrays = read_npz(write_zip(scratch / "w.npz", weights(), method));
        ASSERT_EQ(arrays.size(), 3u);
        EXPECT_THAT(arrays.at("depthwise_kernel").shape, ElementsAre(1, 2, 1, 2));
        EXPECT_THAT(arrays.at("depthwise_kernel").values, ElementsAre(1, 2, 3, 4));
        EXPECT_THAT(arrays.at("bias").values, ElementsAre(7));
    }
}

TEST(Npz, AnEmptyArchiveHasNoArrays) {
    const Scratch scratch;
    const std::string end_of_directory = std::string("PK\x05\x06") + std::string(18, '\0');
    EXPECT_THAT(read_npz(write_bytes(scratch / "w.npz", end_of_directory)), IsEmpty());
}

TEST(Npz, AMemberThatIsNoArrayIsNotedAndSkipped) {
    const Scratch scratch;
    std::vector<std::string> notes;
    ReadOptions options;
    options.warn = [&](const std::string &note) { notes.push_back(note); };
    EXPECT_THAT(read_npz(write_zip(scratch / "w.npz", {{"readme.txt", "hello"}}), options), IsEmpty());
    EXPECT_THAT(notes, ElementsAre(HasSubstr("w.npz: 'readme.txt' is no .npy array")));
}

TEST(NpzWeights, TheViewHasKerasShapes) {
    const Scratch scratch;
    const StoredWeights stored = read_weights_npz(write_zip(scratch / "w.npz", weights()));
    const Weights view = stored.view();
    EXPECT_EQ(view.depthwise_shape, (Shape{1, 2, 1, 2}));
    EXPECT_EQ(view.pointwise_shape, (Shape{1, 1, 2, 1}));
    EXPECT_EQ(view.bias_size, 1);
    EXPECT_EQ(view.pointwise_kernel[1], 6);
    EXPECT_EQ(view.bias[0], 7);
}

TEST(NpzWeights, WithoutABiasTheViewHasNone) {
    const Scratch scratch;
    Members members = weights();
    members.pop_back();
    const StoredWeights stored = read_weights_npz(write_zip(scratch / "w.npz", members));
    EXPECT_EQ(stored.view().bias, nullptr);
    EXPECT_EQ(stored.view().bias_size, 0);
}

TEST(NpzWeights, AnArrayThatIsNoWeightIsNotedAndNotRead) {
    const Scratch scratch;
    Members members = weights();
    members.emplace_back("gamma.npy", "damaged");
    std::vector<std::string> notes;
    ReadOptions options;
    options.warn = [&](const std::string &note) { notes.push_back(note); };
    read_weights_npz(write_zip(scratch / "w.npz", members), options);
    EXPECT_THAT(notes, ElementsAre(HasSubstr("'gamma' is no weight")));
}

// What is said while float16 weights, and a float64 bias, are read for a layer of that dtype.
std::vector<std::string> notes_for(Dtype dtype) {
    const Scratch scratch;
    const Members members = {{"depthwise_kernel.npy", npy_bytes(npy_header("<f2", "(1, 2, 1, 2)"), std::string(8, '\0'))},
                             {"pointwise_kernel.npy", npy_bytes(npy_header("<f2", "(1, 1, 2, 1)"), std::string(4, '\0'))},
                             {"bias.npy", npy_bytes(npy_header("<f8", "(1,)"), raw<double>({7}))}};
    std::vector<std::string> notes;
    ReadOptions options;
    options.dtype = dtype;
    options.warn = [&](const std::string &note) { notes.push_back(note); };
    read_weights_npz(write_zip(scratch / "w.npz", members), options);
    return notes;
}

TEST(NpzWeights, Float16IsNoRemarkForALayerOfFloat16) {
    EXPECT_THAT(notes_for(Dtype::float16), ElementsAre(HasSubstr("bias.npy: converted from float64 to float32")));
}

TEST(NpzWeights, Float16IsARemarkForALayerOfFloat32) {
    EXPECT_THAT(notes_for(Dtype::float32),
                ElementsAre(HasSubstr("converted from float16"), HasSubstr("converted from float16"), HasSubstr("converted from float64")));
}

}  // namespace
}  // namespace sepconv
