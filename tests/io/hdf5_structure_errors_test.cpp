// Damaged structures, each found before libhdf5 meets it.
#include <gmock/gmock.h>

#include <cstring>

#include "hdf5_file.h"
#include "hdf5_writer.h"
#include "scratch.h"

namespace sepconv::io {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class Structure : public testing::Test {
protected:
    // A group with a dataset in it and an attribute of strings of variable length.
    std::string good(bool latest = false) {
        {
            Hdf5Writer writer(file(), latest);
            writer.floats("g/a", {2}, {1, 2});
            writer.strings("g", "names", {"first", "second"});
        }
        return bytes_of(file());
    }

    // What opening the damaged file and reading all that is in it says.
    std::string error(const std::string &bytes) {
        write_bytes(file(), bytes);
        const std::string message = message_of<FileError>([&] {
            const Hdf5File opened(file());
            opened.strings("g", "names");
            opened.shape("g/a");
            opened.members("g");
        });
        EXPECT_THAT(message, StartsWith(file().string() + ": "));
        return message;
    }

    // The place of a block's signature; of the last block of its kind, which belongs to the group g.
    static std::size_t find(const std::string &bytes, const std::string &block) {
        const std::size_t at = bytes.rfind(block);
        EXPECT_NE(at, std::string::npos);
        return at;
    }

    static std::string with(std::string bytes, std::size_t at, std::uint64_t value, std::size_t size = 8) {
        std::memcpy(bytes.data() + at, &value, size);
        return bytes;
    }

    std::filesystem::path file() const { return scratch / "x.h5"; }

    Scratch scratch;
};

TEST_F(Structure, AFileThatWasCutOffSaysSo) {
    const std::string bytes = good();
    EXPECT_THAT(error(bytes.substr(0, bytes.size() - 1)),
                AllOf(HasSubstr(std::to_string(bytes.size()) + " bytes"), HasSubstr("it was cut off")));
}

TEST_F(Structure, AHeapOutsideTheFileIsRefused) {
    const std::string bytes = good();
    EXPECT_THAT(error(with(bytes, find(bytes, "HEAP") + 24, ~std::uint64_t(0) - 7)), HasSubstr("expected a local heap inside the file"));
}

TEST_F(Structure, AFreeListThatNeverEndsIsRefused) {
    const std::string bytes = good();
    const std::size_t heap = find(bytes, "HEAP");
    std::uint64_t first = 0, names = 0;
    std::memcpy(&first, bytes.data() + heap + 16, 8);
    std::memcpy(&names, bytes.data() + heap + 24, 8);
    EXPECT_THAT(error(with(bytes, names + first, first)), HasSubstr("expected free space inside the heap"));
}

TEST_F(Structure, ATreeThatHoldsItselfIsRefused) {
    const std::string bytes = good();
    const std::size_t tree = find(bytes, "TREE");
    EXPECT_THAT(error(with(with(bytes, tree + 5, 1, 1), tree + 32, tree)), HasSubstr("found a block that is in use elsewhere"));
}

TEST_F(Structure, ATreeWithMoreChildrenThanItHoldsIsRefused) {
    const std::string bytes = good();
    EXPECT_THAT(error(with(bytes, find(bytes, "TREE") + 6, 1000, 2)),
                HasSubstr("expected at most 32 children in a B-tree node, found 1000"));
}

TEST_F(Structure, ANameOutsideTheHeapIsRefused) {
    const std::string bytes = good();
    EXPECT_THAT(error(with(bytes, find(bytes, "SNOD") + 8, 100000)), HasSubstr("found one at 100000"));
}

TEST_F(Structure, AStringThatIsLongerInItsHeapThanInItsAttributeIsRefused) {
    const std::string bytes = good();
    // The first object: 2 bytes of number, 6 of count and reserved, 8 of size.
    EXPECT_THAT(error(with(bytes, find(bytes, "GCOL") + 24, 7)), AllOf(HasSubstr("as object 1 of the heap"), HasSubstr("found 7 bytes")));
}

TEST_F(Structure, AWrongChecksumIsRefused) {
    const std::string bytes = good(true);
    EXPECT_THAT(error(with(bytes, find(bytes, "OHDR") + 10, 0xff, 1)), HasSubstr("with checksum"));
}

TEST_F(Structure, AFileBehindAUsersBlockIsRead) {
    const hid_t creation = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_userblock(creation, 1024);
    const hid_t made = H5Fcreate(file().c_str(), H5F_ACC_TRUNC, creation, H5P_DEFAULT);
    H5Gclose(H5Gcreate2(made, "g", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Fclose(made);
    H5Pclose(creation);
    EXPECT_TRUE(Hdf5File(file()).has_group("g"));
}

TEST_F(Structure, AGroupOfHundredsOfMembersIsRead) {
    {
        Hdf5Writer writer(file());
        for (int i = 0; i < 700; ++i) writer.group("g/" + std::to_string(i));
    }
    EXPECT_EQ(Hdf5File(file()).members("g").size(), 700u);
}

TEST_F(Structure, AGroupOfHundredsOfMembersInTheNewestFormatIsRead) {
    {
        Hdf5Writer writer(file(), true);
        for (int i = 0; i < 700; ++i) writer.group("g/" + std::to_string(i));
    }
    const Hdf5File opened(file());
    EXPECT_EQ(opened.members("g").size(), 700u);
    EXPECT_TRUE(opened.has_group("g/699"));
}

}  // namespace
}  // namespace sepconv::io
