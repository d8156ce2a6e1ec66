// HDF5 that is refused: what leaves the file, what would load code, what claims more than there is.
#include <gmock/gmock.h>

#include "hdf5_file.h"
#include "hdf5_writer.h"
#include "scratch.h"

namespace sepconv::io {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Hdf5Errors : public testing::Test {
protected:
    std::string read_error(const std::string &path, std::uint64_t most = 1 << 20) {
        const std::string message = message_of<FileError>([&] {
            const Hdf5File opened(file());
            Allowance allowance(most);
            opened.read(path, allowance, {});
        });
        EXPECT_THAT(message, StartsWith(file().string() + ": "));
        return message;
    }

    std::filesystem::path file() const { return scratch / "x.h5"; }

    Scratch scratch;
};

TEST_F(Hdf5Errors, AFileThatIsNoHdf5IsRefused) {
    write_bytes(file(), "something else");
    EXPECT_THAT(read_error("a"), HasSubstr("expected an HDF5 file, found no signature of one"));
}

TEST_F(Hdf5Errors, AnEmptyImageIsRefused) {
    EXPECT_THAT(message_of<FileError>([] { Hdf5File("", "image"); }), HasSubstr("image: expected HDF5, found nothing"));
}

TEST_F(Hdf5Errors, AMissingDatasetIsNamed) {
    Hdf5Writer(file()).group("g");
    EXPECT_THAT(read_error("g/none"), HasSubstr("x.h5: g/none: expected a dataset, found nothing"));
}

TEST_F(Hdf5Errors, AGroupIsNoDataset) {
    Hdf5Writer(file()).group("g");
    EXPECT_THAT(read_error("g"), HasSubstr("g: expected a dataset, found a group"));
}

TEST_F(Hdf5Errors, AnotherElementTypeIsRefused) {
    {
        Hdf5Writer writer(file());
        H5Dclose(writer.dataset("a", {1}, H5T_STD_I32LE));
    }
    EXPECT_THAT(read_error("a"), HasSubstr("expected float16, bfloat16, float32 or float64"));
}

TEST_F(Hdf5Errors, OpaqueBytesWithoutADtypeAreRefused) {
    const hid_t type = H5Tcreate(H5T_OPAQUE, 2);
    {
        Hdf5Writer writer(file());
        H5Dclose(writer.dataset("a", {1}, type));
    }
    H5Tclose(type);
    EXPECT_THAT(read_error("a"), HasSubstr("expected float16, bfloat16, float32 or float64"));
}

TEST_F(Hdf5Errors, AnExternalLinkIsNotFollowed) {
    Hdf5Writer(scratch / "other.h5").floats("a", {1}, {1});
    {
        const Hdf5Writer writer(file());
        H5Lcreate_external((scratch / "other.h5").c_str(), "/a", writer.id(), "a", H5P_DEFAULT, H5P_DEFAULT);
    }
    EXPECT_THAT(read_error("a"), HasSubstr("a: expected a group or dataset in the file itself, found a link to another file"));
}

TEST_F(Hdf5Errors, ASoftLinkIsNotFollowed) {
    {
        Hdf5Writer writer(file());
        writer.floats("b", {1}, {1});
        H5Lcreate_soft("/b", writer.id(), "a", H5P_DEFAULT, H5P_DEFAULT);
    }
    EXPECT_THAT(read_error("a"), HasSubstr("found a soft link"));
}

TEST_F(Hdf5Errors, AGroupThatHoldsItselfEndsWithThePath) {
    {
        Hdf5Writer writer(file());
        writer.group("g");
        H5Lcreate_hard(writer.id(), "/g", writer.id(), "/g/g", H5P_DEFAULT, H5P_DEFAULT);
    }
    std::string path = "g";
    for (int i = 0; i < 1000; ++i) path += "/g";
    EXPECT_THAT(read_error(path), HasSubstr("expected a dataset, found a group"));
}

TEST_F(Hdf5Errors, ExternalStorageIsNotRead) {
    write_bytes(scratch / "values.bin", std::string(8, '\0'));
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(creation, (scratch / "values.bin").c_str(), 0, 8);
    {
        Hdf5Writer writer(file());
        H5Dclose(writer.dataset("a", {2}, H5T_IEEE_F32LE, creation));
    }
    H5Pclose(creation);
    EXPECT_THAT(read_error("a"), HasSubstr("found external storage"));
}

TEST_F(Hdf5Errors, AVirtualDatasetIsNotRead) {
    Hdf5Writer(scratch / "other.h5").floats("a", {2}, {1, 2});
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t extent = 2;
    const hid_t space = H5Screate_simple(1, &extent, nullptr);
    H5Pset_virtual(creation, space, (scratch / "other.h5").c_str(), "a", space);
    {
        Hdf5Writer writer(file(), true);
        H5Dclose(writer.dataset("a", {2}, H5T_IEEE_F32LE, creation));
    }
    H5Sclose(space);
    H5Pclose(creation);
    EXPECT_THAT(read_error("a"), HasSubstr("found a virtual dataset"));
}

TEST_F(Hdf5Errors, AFilterThatIsNotBuiltInIsRefused) {
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk = 2;
    H5Pset_chunk(creation, 1, &chunk);
    H5Pset_filter(creation, 32000, H5Z_FLAG_OPTIONAL, 0, nullptr);
    Hdf5Writer(file()).floats("a", {2}, {1, 2}, H5T_IEEE_F32LE, creation);
    H5Pclose(creation);
    EXPECT_THAT(read_error("a"), HasSubstr("found HDF5 filter 32000"));
}

TEST_F(Hdf5Errors, ValuesThatWereNeverWrittenAreMissing) {
    {
        Hdf5Writer writer(file());
        H5Dclose(writer.dataset("a", {100}, H5T_IEEE_F32LE));
    }
    EXPECT_THAT(read_error("a"), HasSubstr("a: expected 400 bytes of values, found 0"));
}

TEST_F(Hdf5Errors, AChunkThatWasNeverWrittenIsMissing) {
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk = 64, start = 0, count = 64;
    H5Pset_chunk(creation, 1, &chunk);
    H5Pset_deflate(creation, 1);
    {
        Hdf5Writer writer(file());
        const hid_t dataset = writer.dataset("a", {128}, H5T_IEEE_F32LE, creation);
        const hid_t all = H5Dget_space(dataset), part = H5Screate_simple(1, &count, nullptr);
        H5Sselect_hyperslab(all, H5S_SELECT_SET, &start, nullptr, &count, nullptr);
        const std::vector<float> values(64, 1);
        H5Dwrite(dataset, H5T_NATIVE_FLOAT, part, all, H5P_DEFAULT, values.data());
        H5Sclose(part);
        H5Sclose(all);
        H5Dclose(dataset);
    }
    H5Pclose(creation);
    EXPECT_THAT(read_error("a"), HasSubstr("found a chunk that was never written"));
}

TEST_F(Hdf5Errors, TerabytesThatAreNotThereTakeNoMemory) {
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk[] = {1024, 1024};
    H5Pset_chunk(creation, 2, chunk);
    H5Pset_deflate(creation, 1);
    {
        Hdf5Writer writer(file());
        H5Dclose(writer.dataset("a", {1 << 20, 1 << 20}, H5T_IEEE_F32LE, creation));
    }
    H5Pclose(creation);
    EXPECT_THAT(read_error("a", ~std::uint64_t(0)), HasSubstr("a: expected 4398046511104 bytes of values, found 0"));
}

TEST_F(Hdf5Errors, AnArrayAboveTheLimitIsNotRead) {
    Hdf5Writer(file()).floats("a", {3}, {1, 2, 3});
    EXPECT_THAT(read_error("a", 11), HasSubstr("a: expected at most 11 bytes (what is left of ReadOptions::max_bytes), found 12"));
}

TEST_F(Hdf5Errors, AnAttributeThatHoldsNoStringsIsRefused) {
    {
        Hdf5Writer writer(file());
        const hid_t space = H5Screate(H5S_SCALAR);
        H5Aclose(H5Acreate_by_name(writer.id(), "/", "names", H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
        H5Sclose(space);
    }
    EXPECT_THAT(message_of<FileError>([&] { Hdf5File(file()).strings("", "names"); }), HasSubstr("attribute names: expected strings"));
}

}  // namespace
}  // namespace sepconv::io
