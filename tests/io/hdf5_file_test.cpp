// The HDF5 that is read: every legal way of storing strings and floats, whatever Keras itself writes.
#include "hdf5_file.h"

#include <gmock/gmock.h>

#include <thread>

#include "hdf5_writer.h"
#include "scratch.h"

namespace sepconv::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Optional;

class Hdf5 : public testing::Test {
protected:
    Array read(const std::string &path) {
        Allowance allowance(1 << 20);
        return Hdf5File(scratch / "x.h5").read(path, allowance, [this](const std::string &note) { notes.push_back(note); });
    }

    std::filesystem::path file() const { return scratch / "x.h5"; }

    Scratch scratch;
    std::vector<std::string> notes;
};

TEST_F(Hdf5, FloatsOfEveryWidthAndByteOrderAreRead) {
    for (const hid_t type : {H5T_IEEE_F32LE, H5T_IEEE_F32BE, H5T_IEEE_F64LE, H5T_IEEE_F64BE}) {
        Hdf5Writer(file()).floats("a/b", {1, 3}, {1, -2, 0.5f}, type);
        const Array array = read("a/b");
        EXPECT_THAT(array.shape, ElementsAre(1, 3));
        EXPECT_THAT(array.values, ElementsAre(1, -2, 0.5f));
    }
}

TEST_F(Hdf5, Float64IsNoted) {
    Hdf5Writer(file()).floats("a", {1}, {1}, H5T_IEEE_F64LE);
    read("a");
    EXPECT_THAT(notes, ElementsAre(HasSubstr("x.h5: a: converted from float64 to float32")));
}

TEST_F(Hdf5, Float16OfBothByteOrdersIsWidened) {
    for (const H5T_order_t order : {H5T_ORDER_LE, H5T_ORDER_BE}) {
        const hid_t half = H5Tcopy(H5T_IEEE_F32LE);
        H5Tset_fields(half, 15, 10, 5, 0, 10);
        H5Tset_size(half, 2);
        H5Tset_ebias(half, 15);
        H5Tset_order(half, order);
        Hdf5Writer(file()).floats("a", {5}, {1, -2, 65504, 0x1p-24f, 0.5f}, half);
        H5Tclose(half);
        EXPECT_THAT(read("a").values, ElementsAre(1, -2, 65504, 0x1p-24f, 0.5f));
    }
}

TEST_F(Hdf5, OpaqueBfloat16IsWidened) {
    {
        Hdf5Writer writer(file());
        const hid_t type = H5Tcreate(H5T_OPAQUE, 2);
        const hid_t dataset = writer.dataset("a", {3}, type);
        const std::uint16_t bits[] = {0x3f80, 0xc000, 0x3f00};
        H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bits);
        H5Dclose(dataset);
        H5Tclose(type);
        writer.strings("a", "dtype", {"bfloat16"});
    }
    EXPECT_THAT(read("a").values, ElementsAre(1, -2, 0.5f));
    EXPECT_THAT(notes, ElementsAre(HasSubstr("converted from bfloat16")));
}

TEST_F(Hdf5, ChunksThroughDeflateShuffleAndFletcher32AreRead) {
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk[] = {2, 2};
    H5Pset_chunk(creation, 2, chunk);
    H5Pset_shuffle(creation);
    H5Pset_deflate(creation, 6);
    H5Pset_fletcher32(creation);
    Hdf5Writer(file()).floats("a", {3, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8}, H5T_IEEE_F32LE, creation);
    H5Pclose(creation);
    EXPECT_THAT(read("a").values, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8));
}

TEST_F(Hdf5, CompactStorageIsRead) {
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_layout(creation, H5D_COMPACT);
    Hdf5Writer(file()).floats("a", {2}, {1, 2}, H5T_IEEE_F32LE, creation);
    H5Pclose(creation);
    EXPECT_THAT(read("a").values, ElementsAre(1, 2));
}

TEST_F(Hdf5, TheNewestFileFormatIsRead) {
    {
        Hdf5Writer writer(file(), true);
        writer.floats("a/b", {2}, {1, 2});
        writer.strings("a", "names", {"x", "yy"});
    }
    EXPECT_THAT(read("a/b").values, ElementsAre(1, 2));
    EXPECT_THAT(Hdf5File(file()).strings("a", "names"), Optional(ElementsAre("x", "yy")));
}

TEST_F(Hdf5, AnImageInMemoryIsReadLikeAFile) {
    Hdf5Writer(file()).floats("a", {2}, {1, 2});
    const Hdf5File image(bytes_of(file()), "x.keras: model.weights.h5");
    Allowance allowance(100);
    EXPECT_THAT(image.read("a", allowance, {}).values, ElementsAre(1, 2));
    EXPECT_EQ(image.name(), "x.keras: model.weights.h5");
}

TEST_F(Hdf5, AMovedImageStaysReadable) {
    Hdf5Writer(file()).floats("a", {2}, {1, 2});
    Hdf5File image(bytes_of(file()), "image");
    const Hdf5File moved = std::move(image);
    EXPECT_THAT(moved.shape("a"), ElementsAre(2));
}

TEST_F(Hdf5, StringsOfEveryKindAreRead) {
    {
        Hdf5Writer writer(file());
        writer.strings("/", "variable", {"a", "", "ccc"});
        writer.strings("/", "padded with zeros", {"a", "ccc"}, 3, H5T_STR_NULLPAD);
        writer.strings("/", "padded with spaces", {"a", "ccc"}, 3, H5T_STR_SPACEPAD);
        writer.strings("/", "terminated", {"a", "cc"}, 3, H5T_STR_NULLTERM);
        writer.no_strings("/", "none");
    }
    const Hdf5File opened(file());
    EXPECT_THAT(opened.strings("", "variable"), Optional(ElementsAre("a", "", "ccc")));
    EXPECT_THAT(opened.strings("", "padded with zeros"), Optional(ElementsAre("a", "ccc")));
    EXPECT_THAT(opened.strings("", "padded with spaces"), Optional(ElementsAre("a", "ccc")));
    EXPECT_THAT(opened.strings("", "terminated"), Optional(ElementsAre("a", "cc")));
    EXPECT_THAT(opened.strings("", "none"), Optional(IsEmpty()));
    EXPECT_EQ(opened.strings("", "absent"), std::nullopt);
}

TEST_F(Hdf5, GroupsAndDatasetsAreToldApart) {
    {
        Hdf5Writer writer(file());
        writer.group("g/h");
        writer.floats("g/d", {1}, {1});
    }
    const Hdf5File opened(file());
    EXPECT_TRUE(opened.has_group("g"));
    EXPECT_TRUE(opened.has_group("g/h"));
    EXPECT_FALSE(opened.has_group("g/d"));
    EXPECT_TRUE(opened.has_dataset("g/d"));
    EXPECT_FALSE(opened.has_dataset("g/none"));
    EXPECT_FALSE(opened.has_dataset("g/d/below"));
    EXPECT_THAT(opened.members("g"), ElementsAre("d", "h"));
}

TEST_F(Hdf5, WhatTheProgramSetForHdf5sErrorsStays) {
    Hdf5Writer(file()).group("g");
    int mine = 0;
    const auto report = [](hid_t, void *) -> herr_t { return 0; };
    H5Eset_auto2(H5E_DEFAULT, report, &mine);
    Hdf5File(file()).has_group("g");
    H5E_auto2_t function = nullptr;
    void *argument = nullptr;
    H5Eget_auto2(H5E_DEFAULT, &function, &argument);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    EXPECT_EQ(function, static_cast<H5E_auto2_t>(report));
    EXPECT_EQ(argument, &mine);
}

TEST_F(Hdf5, ErrorsAreNotPrinted) {
    write_bytes(file(), "\x89HDF\r\n\x1a\n damaged");
    testing::internal::CaptureStderr();
    EXPECT_THROW(Hdf5File{file()}, FileError);
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(Hdf5, NoHandleStaysOpen) {
    Hdf5Writer(file()).floats("a/b", {1}, {1});
    read("a/b");
    Allowance none(0);
    EXPECT_THROW(Hdf5File(file()).read("a/b", none, {}), FileError);
    EXPECT_EQ(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}

TEST_F(Hdf5, ThreadsMayReadOneFileAtOnce) {
    Hdf5Writer(file()).floats("a", {2}, {1, 2});
    const Hdf5File opened(file());
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int round = 0; round < 50; ++round) {
                Allowance allowance(8);
                EXPECT_THAT(opened.read("a", allowance, {}).values, ElementsAre(1, 2));
            }
        });
    }
    for (std::thread &thread : threads) thread.join();
}

}  // namespace
}  // namespace sepconv::io
