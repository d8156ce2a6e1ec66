// Reading and writing .npy files.
#include <gmock/gmock.h>

#include <cmath>
#include <thread>

#include "npy_bytes.h"
#include "scratch.h"
#include "sepconv/error.h"
#include "sepconv/io.h"

#if __has_include(<sys/stat.h>)
#include <sys/stat.h>
#endif

namespace sepconv {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Npy : public testing::Test {
protected:
    Array read(const std::string &bytes) {
        ReadOptions options;
        options.warn = [this](const std::string &note) { notes.push_back(note); };
        return read_npy(write_bytes(scratch / "x.npy", bytes), options);
    }

    Float16Array read_float16(const std::string &bytes) {
        ReadOptions options;
        options.warn = [this](const std::string &note) { notes.push_back(note); };
        return read_npy_float16(write_bytes(scratch / "x.npy", bytes), options);
    }

    Scratch scratch;
    std::vector<std::string> notes;
};

TEST_F(Npy, LittleEndianFloat32IsReadAsItIs) {
    const Array array = read(npy_bytes(npy_header("<f4", "(2, 3)"), raw<float>({1, 2, 3, 4, 5, 6})));
    EXPECT_THAT(array.shape, ElementsAre(2, 3));
    EXPECT_THAT(array.values, ElementsAre(1, 2, 3, 4, 5, 6));
    EXPECT_THAT(notes, IsEmpty());
}

TEST_F(Npy, BigEndianFloat32IsTurned) {
    EXPECT_THAT(read(npy_bytes(npy_header(">f4", "(3,)"), raw<float>({1, -2, 0.5f}, true))).values, ElementsAre(1, -2, 0.5f));
}

TEST_F(Npy, Float64OfBothByteOrdersIsRounded) {
    EXPECT_THAT(read(npy_bytes(npy_header("<f8", "(2,)"), raw<double>({0.1, -3}))).values, ElementsAre(0.1f, -3));
    EXPECT_THAT(read(npy_bytes(npy_header(">f8", "(2,)"), raw<double>({0.1, -3}, true))).values, ElementsAre(0.1f, -3));
}

TEST_F(Npy, Float16OfBothByteOrdersIsWidened) {
    const std::vector<std::uint16_t> bits = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000};
    const auto expected = ElementsAre(1, -2, 0x1p-24f, 65504, -0.0f);
    EXPECT_THAT(read(npy_bytes(npy_header("<f2", "(5,)"), raw(bits))).values, expected);
    EXPECT_THAT(read(npy_bytes(npy_header(">f2", "(5,)"), raw(bits, true))).values, expected);
}

TEST_F(Npy, Float16KeepsTheSignOfZeroInfinityAndNan) {
    const Array array = read(npy_bytes(npy_header("<f2", "(4,)"), raw<std::uint16_t>({0x8000, 0x7c00, 0xfc00, 0x7e00})));
    EXPECT_TRUE(std::signbit(array.values[0]));
    EXPECT_EQ(array.values[1], INFINITY);
    EXPECT_EQ(array.values[2], -INFINITY);
    EXPECT_TRUE(std::isnan(array.values[3]));
}

TEST_F(Npy, AConversionIsNotedWithTheFileAndTheType) {
    read(npy_bytes(npy_header("<f8", "(1,)"), raw<double>({1})));
    EXPECT_THAT(notes, ElementsAre(HasSubstr("x.npy: converted from float64 to float32")));
}

TEST_F(Npy, FortranOrderIsPutInCOrder) {
    // [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]], the first index fastest.
    const Array array = read(npy_bytes(npy_header("<f4", "(2, 2, 3)", true), raw<float>({0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11})));
    EXPECT_THAT(array.shape, ElementsAre(2, 2, 3));
    EXPECT_THAT(array.values, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
}

TEST_F(Npy, AFortranOrderedArrayOfManyBlocksIsPutInCOrder) {
    const std::int64_t rows = 700, columns = 300;
    std::vector<float> stored;
    for (std::int64_t x = 0; x < columns; ++x) {
        for (std::int64_t y = 0; y < rows; ++y) stored.push_back(static_cast<float>(y * columns + x));
    }
    const Array array = read(npy_bytes(npy_header("<f4", "(700, 300)", true), raw(stored)));
    for (std::int64_t i = 0; i < rows * columns; ++i) ASSERT_EQ(array.values[i], static_cast<float>(i));
}

TEST_F(Npy, VersionsTwoAndThreeHaveALongerLength) {
    for (const int version : {2, 3}) {
        EXPECT_THAT(read(npy_bytes(npy_header("<f4", "(1,)"), raw<float>({7}), version)).values, ElementsAre(7));
    }
}

TEST_F(Npy, AScalarHasNoExtents) {
    const Array array = read(npy_bytes(npy_header("<f4", "()"), raw<float>({7})));
    EXPECT_THAT(array.shape, IsEmpty());
    EXPECT_THAT(array.values, ElementsAre(7));
}

TEST_F(Npy, AnEmptyArrayKeepsItsShape) {
    const Array array = read(npy_bytes(npy_header("<f4", "(0, 5)"), ""));
    EXPECT_THAT(array.shape, ElementsAre(0, 5));
    EXPECT_THAT(array.values, IsEmpty());
}

TEST_F(Npy, TheHeadersKeysMayComeInAnyOrderAndQuotes) {
    const std::string header = "{\"shape\":(2L,),'fortran_order':False ,  'descr' : \"<f4\"}";
    EXPECT_THAT(read(npy_bytes(header, raw<float>({1, 2}))).values, ElementsAre(1, 2));
}

TEST_F(Npy, ASecondArrayInTheFileIsNoted) {
    read(good_npy() + good_npy());
    EXPECT_THAT(notes, ElementsAre(HasSubstr("only the first array")));
}

#if __has_include(<sys/stat.h>)
TEST_F(Npy, APipeIsReadThoughItHasNoSize) {
    const std::filesystem::path pipe = scratch / "pipe.npy";
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    std::thread writer([&] { write_bytes(pipe, npy_bytes(npy_header("<f4", "(2,)"), raw<float>({1, 2}))); });
    EXPECT_THAT(read_npy(pipe).values, ElementsAre(1, 2));
    writer.join();
}
#endif

TEST_F(Npy, WhatIsWrittenIsReadBack) {
    const Array array = {{2, 1, 2}, {1, -2, 3.5f, 1e-30f}};
    write_npy(scratch / "y.npy", array);
    const Array back = read_npy(scratch / "y.npy");
    EXPECT_EQ(back.shape, array.shape);
    EXPECT_EQ(back.values, array.values);
}

TEST_F(Npy, TheWrittenHeaderIsNumPysAndEndsAtAMultipleOf64) {
    write_npy(scratch / "y.npy", {{3}, {1, 2, 3}});
    const std::string bytes = bytes_of(scratch / "y.npy");
    EXPECT_THAT(bytes, HasSubstr("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }"));
    EXPECT_EQ((bytes.size() - 12) % 64, 0u);
    EXPECT_EQ(bytes[bytes.size() - 13], '\n');
}

TEST_F(Npy, WritingReplacesAFileAndLeavesNothingElse) {
    write_bytes(scratch / "y.npy", "something old");
    write_npy(scratch / "y.npy", Array{{1}, {5}});
    EXPECT_THAT(read_npy(scratch / "y.npy").values, ElementsAre(5));
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(scratch.folder()), {}), 1);
}

TEST_F(Npy, WritingThroughALinkReplacesWhatItPointsTo) {
    write_bytes(scratch / "there.npy", "");
    std::filesystem::create_symlink(scratch / "there.npy", scratch / "link.npy");
    write_npy(scratch / "link.npy", Array{{1}, {5}});
    EXPECT_TRUE(std::filesystem::is_symlink(scratch / "link.npy"));
    EXPECT_THAT(read_npy(scratch / "there.npy").values, ElementsAre(5));
}

// The bits of an array's values.
std::vector<std::uint16_t> bits_of(const Float16Array &array) {
    std::vector<std::uint16_t> bits;
    for (const float16 value : array.values) bits.push_back(value.bits);
    return bits;
}

TEST_F(Npy, EveryFloat16IsReadAsItIs) {
    std::vector<std::uint16_t> all(1 << 16);
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
    const Float16Array array = read_float16(npy_bytes(npy_header("<f2", "(256, 256)"), raw(all)));
    EXPECT_THAT(array.shape, ElementsAre(256, 256));
    EXPECT_EQ(bits_of(array), all);
    EXPECT_THAT(notes, IsEmpty());
}

TEST_F(Npy, BigEndianFloat16IsTurned) {
    const std::vector<std::uint16_t> bits = {0x3c00, 0xc001, 0x7e01};
    EXPECT_EQ(bits_of(read_float16(npy_bytes(npy_header(">f2", "(3,)"), raw(bits, true)))), bits);
    EXPECT_THAT(notes, IsEmpty());
}

TEST_F(Npy, FortranOrderOfFloat16IsPutInCOrder) {
    const std::vector<std::uint16_t> stored = {0, 3, 1, 4, 2, 5};
    EXPECT_THAT(bits_of(read_float16(npy_bytes(npy_header("<f2", "(2, 3)", true), raw(stored)))), ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST_F(Npy, Float32IsRoundedToFloat16WithARemark) {
    const std::vector<float> values = {1, 0x1.002p0f, 0x1.006p0f, -65520, 0x1p-26f};
    EXPECT_THAT(bits_of(read_float16(npy_bytes(npy_header("<f4", "(5,)"), raw(values)))), ElementsAre(0x3c00, 0x3c00, 0x3c02, 0xfc00, 0));
    EXPECT_THAT(notes, ElementsAre(HasSubstr("x.npy: converted from float32 to float16")));
}

// Each of these is next to halfway between two of float16, and exactly there once it is a float: rounded twice it goes to the even one.
TEST_F(Npy, Float64IsRoundedToFloat16Once) {
    const std::vector<double> values = {0x1.0020000001p0, 0x1.005fffffffp0, -0x1.0020000001p0, 65519.9999999, 0x1.00000000001p-25};
    EXPECT_THAT(bits_of(read_float16(npy_bytes(npy_header(">f8", "(5,)"), raw(values, true)))),
                ElementsAre(0x3c01, 0x3c01, 0xbc01, 0x7bff, 1));
    EXPECT_THAT(notes, ElementsAre(HasSubstr("x.npy: converted from float64 to float16")));
}

TEST_F(Npy, Float64BeyondFloatBecomesFloat16sInfinityZeroAndNan) {
    const std::vector<double> values = {1e300, -1e300, INFINITY, -1e-300, NAN, 1, 0.5};
    EXPECT_THAT(bits_of(read_float16(npy_bytes(npy_header("<f8", "(7,)"), raw(values)))),
                ElementsAre(0x7c00, 0xfc00, 0x7c00, 0x8000, 0x7e00, 0x3c00, 0x3800));
}

TEST_F(Npy, Float16TakesTwoBytesOfTheLimit) {
    const std::string file = write_bytes(scratch / "x.npy", npy_bytes(npy_header("<f2", "(3,)"), std::string(6, '\0')));
    ReadOptions options;
    options.max_bytes = 6;
    EXPECT_EQ(read_npy_float16(file, options).values.size(), 3u);
    options.max_bytes = 5;
    EXPECT_THROW(read_npy_float16(file, options), FileError);
}

TEST_F(Npy, Float16ThatIsWrittenIsReadBack) {
    const Float16Array array = {{2, 2}, {float16(1.0F), float16(-2.5F), float16::from_bits(0x0001), float16::from_bits(0x7e00)}};
    write_npy(scratch / "y.npy", array);
    const Float16Array back = read_npy_float16(scratch / "y.npy");
    EXPECT_EQ(back.shape, array.shape);
    EXPECT_EQ(back.values, array.values);
}

TEST_F(Npy, WrittenFloat16IsLittleEndianUnderItsName) {
    const std::vector<float16> values = {float16::from_bits(0x1234), float16::from_bits(0xabcd)};
    write_npy(scratch / "y.npy", {2}, values.data());
    const std::string bytes = bytes_of(scratch / "y.npy");
    EXPECT_THAT(bytes, HasSubstr("{'descr': '<f2', 'fortran_order': False, 'shape': (2,), }"));
    EXPECT_EQ(bytes.substr(bytes.size() - 5), "\n\x34\x12\xcd\xab");
}

TEST_F(Npy, Float16OfAnotherCountThanItsShapeIsRefused) {
    EXPECT_THROW(write_npy(scratch / "y.npy", Float16Array{{3}, {float16(1.0F)}}), ShapeError);
}

}  // namespace
}  // namespace sepconv
