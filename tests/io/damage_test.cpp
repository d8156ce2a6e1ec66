// Small good files, cut off at every byte and changed in every byte: each ends in a good read or in an error that names it, soon.
#include <gmock/gmock.h>

#include <functional>

#include "npy_bytes.h"
#include "scratch.h"
#include "sepconv/error.h"
#include "sepconv/io.h"

namespace sepconv {
namespace {

using Read = std::function<void(const std::filesystem::path &)>;

std::filesystem::path corpus(const std::string &name) { return std::filesystem::path(SEPCONV_TEST_DATA) / "fuzz" / "corpus" / name; }

void read_model(const std::filesystem::path &file) {
    ReadOptions options;
    options.max_bytes = 1 << 24;
    const ModelFile model(file, {}, options);
    for (const ModelLayer &layer : model.layers()) {
        if (layer.input_channels != 0) model.weights(layer.name);
    }
}

// A good read, or an error that begins with the file's name. Anything else fails the test; a hang meets ctest's limit.
void withstand(const std::filesystem::path &file, const Read &read) {
    try {
        read(file);
    } catch (const FileError &error) {
        ASSERT_THAT(error.what(), testing::StartsWith(file.string() + ": "));
    } catch (const ConfigError &error) {
        ASSERT_THAT(error.what(), testing::StartsWith(file.string() + ": "));
    }
}

struct Sample {
    const char *name;
    const char *file;
    Read read;
};

class Damage : public testing::TestWithParam<Sample> {
protected:
    std::string good = bytes_of(corpus(GetParam().file));
    Scratch scratch;
    std::filesystem::path file = scratch / "damaged";
};

TEST_P(Damage, TheSampleItselfIsGood) { EXPECT_NO_THROW(GetParam().read(corpus(GetParam().file))); }

TEST_P(Damage, AFileCutOffAnywhereIsNoCrash) {
    write_bytes(file, good);
    for (std::size_t size = good.size(); size-- > 0;) {
        SCOPED_TRACE(size);
        std::filesystem::resize_file(file, size);
        ASSERT_NO_FATAL_FAILURE(withstand(file, GetParam().read));
    }
}

TEST_P(Damage, AChangedByteAnywhereIsNoCrash) {
    // One change per byte, by turns: a lowest bit, a highest bit, all bits.
    constexpr int changes[] = {0x01, 0x80, 0xff};
    write_bytes(file, good);
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    const auto put = [&stream](std::size_t at, char byte) {
        stream.seekp(static_cast<std::streamoff>(at));
        stream.put(byte);
        stream.flush();
    };
    for (std::size_t at = 0; at < good.size(); ++at) {
        SCOPED_TRACE(at);
        put(at, static_cast<char>(good[at] ^ changes[at % 3]));
        ASSERT_NO_FATAL_FAILURE(withstand(file, GetParam().read));
        put(at, good[at]);
    }
    ASSERT_TRUE(stream);
    EXPECT_NO_THROW(GetParam().read(file)) << "every change was taken back";
}

const Read npy = [](const std::filesystem::path &path) { read_npy(path); };
const Read npz = [](const std::filesystem::path &path) { read_npz(path); };

INSTANTIATE_TEST_SUITE_P(Files, Damage,
                         testing::Values(Sample{"Npy", "npy/fortran_float16.npy", npy}, Sample{"StoredNpz", "npz/stored.npz", npz},
                                         Sample{"DeflatedNpz", "npz/deflated.npz", npz},
                                         Sample{"Keras2Hdf5", "hdf5_model/keras2_0.h5", read_model},
                                         Sample{"LatestHdf5", "hdf5_model/latest.h5", read_model},
                                         Sample{"Keras3Zip", "keras/keras3.keras", read_model}),
                         [](const testing::TestParamInfo<Sample> &sample) { return sample.param.name; });

}  // namespace
}  // namespace sepconv
