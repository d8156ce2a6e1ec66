// What is wrong with a .npz archive.
#include <gmock/gmock.h>

#include "npy_bytes.h"
#include "scratch.h"
#include "sepconv/error.h"
#include "sepconv/io.h"
#include "zip_bytes.h"

namespace sepconv {
namespace {

using testing::HasSubstr;

class NpzErrors : public testing::Test {
protected:
    std::string error(const std::filesystem::path &file, const ReadOptions &options = {}) {
        const std::string message = message_of<FileError>([&] { read_npz(file, options); });
        EXPECT_THAT(message, testing::StartsWith(file.string() + ": "));
        return message;
    }

    // Puts other bytes in the place of every occurrence of some.
    static std::string with(std::string bytes, const std::string &old, const std::string &changed) {
        for (std::size_t at = bytes.find(old); at != std::string::npos; at = bytes.find(old, at + changed.size())) {
            bytes.replace(at, old.size(), changed);
        }
        return bytes;
    }

    Scratch scratch;
};

TEST_F(NpzErrors, AnotherFormatIsNoZipArchive) {
    EXPECT_THAT(error(write_bytes(scratch / "w.npz", good_npy())), HasSubstr("expected a zip archive: Not a zip archive"));
}

TEST_F(NpzErrors, AMissingFileSaysSo) { EXPECT_THAT(error(scratch / "none.npz"), HasSubstr("No such file")); }

TEST_F(NpzErrors, ADamagedMemberIsNamed) {
    EXPECT_THAT(error(write_zip(scratch / "w.npz", {{"a.npy", "\x93NUMPY"}})), HasSubstr("w.npz: a.npy: expected a .npy header"));
}

TEST_F(NpzErrors, AChangedValueFailsTheChecksum) {
    const std::string npy = npy_bytes(npy_header("<f4", "(2,)"), "abcdefgh");
    const std::string bytes = with(bytes_of(write_zip(scratch / "w.npz", {{"a.npy", npy}})), "abcdefgh", "abcdefgg");
    EXPECT_THAT(error(write_bytes(scratch / "w.npz", bytes)), HasSubstr("a.npy: CRC error"));
}

TEST_F(NpzErrors, BytesBehindTheArrayAreRefused) {
    EXPECT_THAT(error(write_zip(scratch / "w.npz", {{"a.npy", good_npy() + "more"}})), HasSubstr("expected its end, found more bytes"));
}

TEST_F(NpzErrors, AMemberWithTooFewBytesNamesTheMissingOnes) {
    const std::string npy = good_npy();
    EXPECT_THAT(error(write_zip(scratch / "w.npz", {{"a.npy", npy.substr(0, npy.size() - 4)}}, ZIP_CM_DEFLATE)),
                HasSubstr("4 bytes are missing"));
}

TEST_F(NpzErrors, AllArraysTogetherStayBelowTheLimit) {
    ReadOptions options;
    options.max_bytes = 47;
    EXPECT_THAT(error(write_zip(scratch / "w.npz", {{"a.npy", good_npy()}, {"b.npy", good_npy()}}), options),
                HasSubstr("b.npy: expected at most 23 bytes"));
}

TEST_F(NpzErrors, AHeaderThatClaimsTerabytesTakesNoMemory) {
    const std::string npy = npy_bytes(npy_header("<f4", "(1000000000000,)"), std::string(1000, '\0'));
    ReadOptions options;
    options.max_bytes = ~std::uint64_t(0);
    EXPECT_THAT(error(write_zip(scratch / "w.npz", {{"a.npy", npy}}, ZIP_CM_DEFLATE), options), HasSubstr("bytes are missing"));
}

TEST_F(NpzErrors, ADirectoryThatClaimsMoreThanDeflateMakesIsRefused) {
    const std::string npy = good_npy();
    const std::string size{static_cast<char>(npy.size()), '\0', '\0', '\0'};
    const std::string bytes = bytes_of(write_zip(scratch / "w.npz", {{"a.npy", npy}}, ZIP_CM_DEFLATE));
    EXPECT_THAT(error(write_bytes(scratch / "w.npz", with(bytes, size, std::string("\0\0\0\x7f", 4)))), HasSubstr("more than deflate can"));
}

TEST_F(NpzErrors, TwoMembersOfOneNameAreRefused) {
    const std::string bytes = bytes_of(write_zip(scratch / "w.npz", {{"a.npy", good_npy()}, {"b.npy", good_npy()}}));
    EXPECT_THAT(error(write_bytes(scratch / "w.npz", with(bytes, "b.npy", "a.npy"))),
                HasSubstr("'a.npy': expected one member of this name"));
}

TEST_F(NpzErrors, AnotherCompressionIsRefused) {
    // Method 8, deflate, in the local header and in the directory becomes 12, bzip2.
    std::string bytes = bytes_of(write_zip(scratch / "w.npz", {{"a.npy", good_npy()}}, ZIP_CM_DEFLATE));
    bytes[8] = 12;
    bytes[bytes.find("PK\x01\x02") + 10] = 12;
    EXPECT_THAT(error(write_bytes(scratch / "w.npz", bytes)),
                HasSubstr("expected a stored or deflated member, found compression method 12"));
}

TEST_F(NpzErrors, WeightsWithoutAKernelListWhatThereIs) {
    const auto file = write_zip(scratch / "w.npz", {{"kernel.npy", good_npy()}, {"bias.npy", good_npy()}});
    EXPECT_THAT(message_of<FileError>([&] { read_weights_npz(file); }),
                HasSubstr("w.npz: expected an array depthwise_kernel, found kernel, bias"));
}

TEST_F(NpzErrors, AKernelOfAnotherRankIsShown) {
    const auto file = write_zip(scratch / "w.npz", {{"depthwise_kernel.npy", good_npy()}});
    EXPECT_THAT(message_of<FileError>([&] { read_weights_npz(file); }),
                HasSubstr("depthwise_kernel: expected shape (kh, kw, C, M), found (2, 3)"));
}

TEST_F(NpzErrors, AViewOfAKernelOfAnotherRankIsAShapeError) {
    StoredWeights weights;
    weights.depthwise_kernel = {{2}, {1, 2}};
    EXPECT_THAT(message_of<ShapeError>([&] { weights.view(); }), HasSubstr("depthwise_kernel: expected 4 dimensions, found shape (2,)"));
}

}  // namespace
}  // namespace sepconv
