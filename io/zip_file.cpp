// libzip behind an interface of whole members: opens, checks sizes and checksums, and turns its errors into FileError.
#include "zip_file.h"

#include <fmt/format.h>
#include <zip.h>

#include <algorithm>
#include <limits>
#include <unordered_set>

#include "message.h"
#include "sepconv/error.h"

namespace sepconv::io {

namespace {

// Deflate makes at most 1032 bytes out of one; a member that claims more is no archive but a trap.
constexpr std::uint64_t most_inflation = 1032;

using MemberFile = std::unique_ptr<zip_file_t, int (*)(zip_file_t *)>;

}  // namespace

ZipFile::ZipFile(const std::filesystem::path &file) : file_(file.string()), archive_(nullptr, zip_discard) {
    int code = 0;
    archive_.reset(zip_open(file_.c_str(), ZIP_RDONLY, &code));
    if (!archive_) {
        zip_error_t error;
        zip_error_init_with_code(&error, code);
        const std::string reason = zip_error_strerror(&error);
        zip_error_fini(&error);
        throw FileError(fmt::format("{}: expected a zip archive: {}", file_, reason));
    }

    std::unordered_set<std::string> names;
    const zip_int64_t count = zip_get_num_entries(archive_.get(), 0);
    for (zip_int64_t i = 0; i < count; ++i) {
        zip_stat_t stat;
        zip_stat_init(&stat);
        if (zip_stat_index(archive_.get(), i, 0, &stat) != 0) {
            throw FileError(fmt::format("{}: member {}: {}", file_, i, zip_strerror(archive_.get())));
        }
        constexpr zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
        if ((stat.valid & needed) != needed) throw FileError(fmt::format("{}: member {} has no name or size", file_, i));
        const std::string where = fmt::format("{}: {}", file_, in_quotes(stat.name));
        if (!names.insert(stat.name).second) throw FileError(fmt::format("{}: expected one member of this name, found two", where));
        if (stat.comp_method != ZIP_CM_STORE && stat.comp_method != ZIP_CM_DEFLATE) {
            throw FileError(fmt::format("{}: expected a stored or deflated member, found compression method {}", where, stat.comp_method));
        }
        if (stat.size / most_inflation > stat.comp_size) {
            throw FileError(fmt::format("{}: claims to inflate {} bytes to {}, more than deflate can", where, stat.comp_size, stat.size));
        }
        members_.push_back({stat.name, stat.size});
    }
}

ZipFile::~ZipFile() = default;

bool ZipFile::has(const std::string &name) const {
    return std::any_of(members_.begin(), members_.end(), [&](const Member &member) { return member.name == name; });
}

void ZipFile::read(const std::string &name, const std::function<void(const ByteSource &)> &consume) const {
    ByteSource source;
    source.name = fmt::format("{}: {}", file_, name);
    const auto member = std::find_if(members_.begin(), members_.end(), [&](const Member &each) { return each.name == name; });
    if (member == members_.end()) {
        std::vector<std::string> names;
        names.reserve(members_.size());
        for (const Member &each : members_) names.push_back(each.name);
        throw FileError(fmt::format("{}: expected a member {}, found {}", file_, in_quotes(name), listed(names)));
    }
    source.size = member->size;
    const MemberFile opened(zip_fopen_index(archive_.get(), member - members_.begin(), 0), zip_fclose);
    if (!opened) throw FileError(fmt::format("{}: {}", source.name, zip_strerror(archive_.get())));
    source.read = [&](char *to, std::size_t count) {
        std::size_t done = 0;
        while (done < count) {
            const zip_int64_t got = zip_fread(opened.get(), to + done, count - done);
            if (got < 0) throw FileError(fmt::format("{}: {}", source.name, zip_file_strerror(opened.get())));
            if (got == 0) break;
            done += static_cast<std::size_t>(got);
        }
        return done;
    };
    consume(source);
    // The checksum is compared when the end is met, so the end must be asked for.
    char rest = 0;
    if (source.read(&rest, 1) != 0) throw FileError(fmt::format("{}: expected its end, found more bytes", source.name));
}

std::string ZipFile::read(const std::string &name, Allowance &allowance) const {
    std::string bytes;
    read(name, [&](const ByteSource &source) {
        allowance.take(*source.size, source.name);
        // The size is only a claim until the bytes are there.
        constexpr std::size_t block = std::size_t(1) << 20;
        std::size_t got = 0;
        do {
            const std::size_t done = bytes.size();
            bytes.resize(done + std::min<std::uint64_t>(block, *source.size - done));
            got = source.read(bytes.data() + done, bytes.size() - done);
            bytes.resize(done + got);
        } while (got != 0 && bytes.size() < *source.size);
        if (bytes.size() != *source.size) {
            throw FileError(fmt::format("{}: expected {} bytes, found {}", source.name, *source.size, bytes.size()));
        }
    });
    return bytes;
}

}  // namespace sepconv::io
