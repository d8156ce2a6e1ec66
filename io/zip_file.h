// Reading the members of a zip archive through libzip, with every size checked before memory is asked for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bytes.h"

struct zip;

namespace sepconv::io {

class ZipFile {
public:
    struct Member {
        std::string name;
        std::uint64_t size = 0;  ///< uncompressed, as the directory claims; a member that turns out otherwise is an error when read
    };

    /// @throws FileError
    explicit ZipFile(const std::filesystem::path &file);
    ~ZipFile();
    ZipFile(const ZipFile &) = delete;
    ZipFile &operator=(const ZipFile &) = delete;

    /// In the order of the archive's directory. Two members of one name are an error.
    const std::vector<Member> &members() const { return members_; }
    bool has(const std::string &name) const;

    /// Calls `consume` with the bytes of one member, then checks that it took them all and that their checksum is right.
    void read(const std::string &name, const std::function<void(const ByteSource &)> &consume) const;
    /// The bytes of one member.
    std::string read(const std::string &name, Allowance &allowance) const;

private:
    std::string file_;
    std::unique_ptr<zip, void (*)(zip *)> archive_;
    std::vector<Member> members_;
};

}  // namespace sepconv::io
