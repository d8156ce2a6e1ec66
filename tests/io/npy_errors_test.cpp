// What is wrong with a .npy file, and where it cannot be written.
#include <gmock/gmock.h>

#include "npy_bytes.h"
#include "scratch.h"
#include "sepconv/error.h"
#include "sepconv/io.h"

namespace sepconv {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class NpyErrors : public testing::Test {
protected:
    std::string error(const std::string &bytes, const ReadOptions &options = {}) {
        const std::filesystem::path file = write_bytes(scratch / "x.npy", bytes);
        const std::string message = message_of<FileError>([&] { read_npy(file, options); });
        EXPECT_THAT(message, testing::StartsWith(file.string() + ": "));
        return message;
    }

    std::string header_error(const std::string &header) { return error(npy_bytes(header, std::string(64, '\0'))); }

    Scratch scratch;
};

TEST_F(NpyErrors, TruncatedNpyNamesTheFileAndTheMissingBytes) {
    std::string bytes = good_npy();
    bytes.resize(bytes.size() - 5);
    EXPECT_THAT(error(bytes), HasSubstr("x.npy: expected 24 bytes of values for shape (2, 3), found 19: 5 bytes are missing"));
}

TEST_F(NpyErrors, AnotherFormatShowsHowItBegins) {
    EXPECT_THAT(error("version https://git-lfs"), HasSubstr("expected a .npy array, which begins with '\\x93NUMPY', found 'version '"));
}

TEST_F(NpyErrors, AnEmptyFileIsCalledNothing) { EXPECT_THAT(error(""), HasSubstr("found nothing")); }

TEST_F(NpyErrors, AHeaderThatTheFileEndsInIsNamed) {
    EXPECT_THAT(error(good_npy().substr(0, 7)), HasSubstr("found the end of the file in its version"));
    EXPECT_THAT(error(good_npy().substr(0, 9)), HasSubstr("found the end of the file in its length"));
    EXPECT_THAT(error(good_npy().substr(0, 30)), HasSubstr("found the end of the file in its text"));
}

TEST_F(NpyErrors, AnUnknownVersionIsShown) {
    EXPECT_THAT(error(npy_bytes(npy_header("<f4", "(1,)"), raw<float>({7}), 4)), HasSubstr("version 1.0, 2.0 or 3.0, found 4.0"));
}

TEST_F(NpyErrors, AnotherElementTypeIsShown) {
    for (const std::string descr : {"<i8", "|u1", "<f16", "<c8", "|O"}) {
        EXPECT_THAT(header_error(npy_header(descr, "(1,)")),
                    AllOf(HasSubstr("expected float16, float32 or float64"), HasSubstr("'" + descr + "'")));
    }
}

TEST_F(NpyErrors, AStructuredTypeIsRefused) {
    EXPECT_THAT(header_error("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }"), HasSubstr("not a structured one"));
}

TEST_F(NpyErrors, AHeaderWithoutOneOfTheKeysIsRefused) {
    EXPECT_THAT(header_error("{'descr': '<f4', 'shape': (1,), }"), HasSubstr("expected the keys descr, fortran_order and shape"));
}

TEST_F(NpyErrors, AKeyThatIsUnknownOrGivenTwiceIsRefused) {
    EXPECT_THAT(header_error("{'descr': '<f4', 'order': True, 'shape': (1,)}"), HasSubstr("one each of the keys"));
    EXPECT_THAT(header_error("{'descr': '<f4', 'descr': '<f4', 'shape': (1,)}"), HasSubstr("one each of the keys"));
}

TEST_F(NpyErrors, ANegativeExtentIsRefused) { EXPECT_THAT(header_error(npy_header("<f4", "(-1,)")), HasSubstr("extents of 0 or more")); }

TEST_F(NpyErrors, AnExtentThatIsNoIntegerIsRefused) {
    EXPECT_THAT(header_error(npy_header("<f4", "(1.5,)")), HasSubstr("a tuple of integers"));
}

TEST_F(NpyErrors, AParenthesisedNumberIsNoShape) {
    EXPECT_THAT(header_error(npy_header("<f4", "(4)")), HasSubstr("a tuple of integers, (n,)"));
}

TEST_F(NpyErrors, AnExtentOf2To63IsRefused) {
    EXPECT_THAT(header_error(npy_header("<f4", "(9223372036854775808,)")), HasSubstr("less than 2^63"));
}

TEST_F(NpyErrors, AProductThatOverflowsIsRefused) {
    EXPECT_THAT(header_error(npy_header("<f4", "(4294967296, 4294967296)")), HasSubstr("expected a shape that memory can hold"));
}

TEST_F(NpyErrors, MoreDimensionsThanNumPyHasAreRefused) {
    std::string shape = "(";
    for (int i = 0; i < 65; ++i) shape += "1,";
    EXPECT_THAT(header_error(npy_header("<f4", shape + ")")), HasSubstr("at most 64 dimensions"));
}

TEST_F(NpyErrors, AHeaderLongerThanTheLimitIsNotRead) {
    std::string bytes = "\x93NUMPY";
    bytes += std::string("\x02\x00\xff\xff\xff\xff", 6);
    EXPECT_THAT(error(bytes), HasSubstr("a .npy header of at most 65536 bytes, found 4294967295"));
}

TEST_F(NpyErrors, AnArrayAboveTheLimitIsNotRead) {
    ReadOptions options;
    options.max_bytes = 23;
    EXPECT_THAT(error(good_npy(), options), HasSubstr("expected at most 23 bytes (what is left of ReadOptions::max_bytes), found 24"));
}

TEST_F(NpyErrors, AMissingFileIsNamedWithTheSystemsReason) {
    EXPECT_THAT(message_of<FileError>([&] { read_npy(scratch / "none.npy"); }), HasSubstr("none.npy: cannot be opened: No such file"));
}

TEST_F(NpyErrors, AFolderIsNoFile) {
    EXPECT_THAT(message_of<FileError>([&] { read_npy(scratch.folder()); }), HasSubstr("found a directory"));
    EXPECT_THAT(message_of<FileError>([&] { write_npy(scratch.folder(), Array{{1}, {5}}); }), HasSubstr("found a directory"));
}

TEST_F(NpyErrors, WritingIntoNoFolderFailsWithTheFilesName) {
    EXPECT_THAT(message_of<FileError>([&] { write_npy(scratch / "none" / "x.npy", Array{{1}, {5}}); }),
                HasSubstr("x.npy: cannot be written"));
}

TEST_F(NpyErrors, AFailureWhileWritingLeavesTheOldFileAndNoOther) {
    // A name that the folder takes, but not with the temporary ending behind it.
    const std::string name = std::string(250, 'x') + ".npy";
    write_bytes(scratch / name, "something old");
    message_of<FileError>([&] { write_npy(scratch / name, Array{{1}, {5}}); });
    EXPECT_EQ(bytes_of(scratch / name), "something old");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(scratch.folder()), {}), 1);
}

TEST_F(NpyErrors, ValuesThatDoNotFillTheShapeAreNotWritten) {
    EXPECT_THAT(message_of<ShapeError>([&] { write_npy(scratch / "x.npy", {{2, 3}, {1, 2}}); }),
                HasSubstr("expected 6 values for shape (2, 3), found 2"));
    EXPECT_FALSE(std::filesystem::exists(scratch / "x.npy"));
}

}  // namespace
}  // namespace sepconv
