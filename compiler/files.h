// Files that are there whole or not at all.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace sepconv::compiler {

/// @throws tools::Failure
std::string read_file(const std::filesystem::path &file);

/// A file that has its contents but no name yet: whoever ends this program leaves nothing of it.
class UnnamedFile {
public:
    /// @throws tools::Failure
    UnnamedFile(const std::filesystem::path &folder, std::string_view contents);
    UnnamedFile(const UnnamedFile &) = delete;
    UnnamedFile &operator=(const UnnamedFile &) = delete;
    UnnamedFile(UnnamedFile &&other) noexcept;
    ~UnnamedFile();
    /// Gives it its name; a file of that name is replaced.
    void name(const std::string &name);

private:
    std::filesystem::path folder_, temporary_;  // temporary_: where the file system has no files without a name
    int descriptor_ = -1;
};

/// A folder for what one run makes on the way; it goes with the run. One that a killed run has left is removed by the next.
class WorkFolder {
public:
    WorkFolder();
    WorkFolder(const WorkFolder &) = delete;
    WorkFolder &operator=(const WorkFolder &) = delete;
    ~WorkFolder();
    const std::filesystem::path &path() const { return path_; }

private:
    std::filesystem::path path_;
    int lock_ = -1;
};

}  // namespace sepconv::compiler
