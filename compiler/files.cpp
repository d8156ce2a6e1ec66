// Writes files by open(2)'s O_TMPFILE and rename(2).
#include "files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>

#include "tools/subcommands.h"

namespace sepconv::compiler {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path &file, const char *what) {
    throw tools::Failure(fmt::format("{}: {}: {}", file.string(), what, std::generic_category().message(errno)));
}

void write_all(int descriptor, std::string_view contents, const fs::path &file) {
    while (!contents.empty()) {
        const ssize_t written = ::write(descriptor, contents.data(), contents.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail(file, "cannot be written");
        contents.remove_prefix(static_cast<std::size_t>(written));
    }
}

constexpr const char *work_prefix = "sepconv-compile-";

// Removes the folders of runs that have ended without removing them: nobody holds their lock.
void remove_abandoned(const fs::path &parent) {
    std::error_code error;
    for (const fs::directory_entry &entry : fs::directory_iterator(parent, error)) {
        if (!entry.path().filename().string().starts_with(work_prefix)) continue;
        struct stat status = {};
        if (::lstat(entry.path().c_str(), &status) != 0 || !S_ISDIR(status.st_mode) || status.st_uid != ::geteuid()) continue;
        const int lock = ::open(entry.path().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (lock < 0) continue;
        if (::flock(lock, LOCK_EX | LOCK_NB) == 0) fs::remove_all(entry.path(), error);
        ::close(lock);
    }
}

}  // namespace

std::string read_file(const fs::path &file) {
    std::ifstream stream(file, std::ios::binary);
    std::ostringstream contents;
    contents << stream.rdbuf();
    if (!stream || !contents) throw tools::Failure(fmt::format("{}: cannot be read", file.string()));
    return std::move(contents).str();
}

UnnamedFile::UnnamedFile(const fs::path &folder, std::string_view contents) : folder_(folder) {
    constexpr mode_t mode = 0666;  // less what the user's umask takes away
    descriptor_ = ::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
    if (descriptor_ < 0) {
        std::string name = (folder / ".sepconv-XXXXXX").string();
        descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
        if (descriptor_ < 0) fail(folder, "cannot be written to");
        temporary_ = name;
        const mode_t taken = ::umask(0);
        ::umask(taken);
        ::fchmod(descriptor_, mode & ~taken);
    }
    try {
        write_all(descriptor_, contents, folder);
    } catch (...) {
        if (!temporary_.empty()) ::unlink(temporary_.c_str());
        ::close(descriptor_);
        throw;
    }
}

UnnamedFile::UnnamedFile(UnnamedFile &&other) noexcept
    : folder_(std::move(other.folder_)), temporary_(std::move(other.temporary_)), descriptor_(std::exchange(other.descriptor_, -1)) {
    other.temporary_.clear();
}

UnnamedFile::~UnnamedFile() {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
    if (descriptor_ >= 0) ::close(descriptor_);
}

void UnnamedFile::name(const std::string &name) {
    const fs::path target = folder_ / name;
    if (temporary_.empty()) {
        // A link cannot replace a file; a rename can.
        const fs::path link = folder_ / fmt::format(".{}.{}", name, ::getpid());
        ::unlink(link.c_str());
        const std::string self = fmt::format("/proc/self/fd/{}", descriptor_);
        if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, link.c_str(), AT_SYMLINK_FOLLOW) != 0) fail(target, "cannot be written");
        temporary_ = link;
    }
    if (::rename(temporary_.c_str(), target.c_str()) != 0) fail(target, "cannot be written");
    temporary_.clear();
}

WorkFolder::WorkFolder() {
    const fs::path parent = fs::temp_directory_path();
    remove_abandoned(parent);
    std::string name = (parent / (std::string(work_prefix) + "XXXXXX")).string();
    if (::mkdtemp(name.data()) == nullptr) fail(parent, "no folder can be made in it");
    path_ = name;
    lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock_ >= 0) ::flock(lock_, LOCK_SH | LOCK_NB);
}

WorkFolder::~WorkFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
    if (lock_ >= 0) ::close(lock_);
}

}  // namespace sepconv::compiler
