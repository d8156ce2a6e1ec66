// Results of former runs, by the digest of everything that they were made from.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace sepconv::compiler {

class Cache {
public:
    /// $XDG_CACHE_HOME/sepconv, ~/.cache/sepconv, or nothing where neither is known.
    static std::filesystem::path usual_folder();

    /// @param folder  where the results are kept; empty: none are
    explicit Cache(std::filesystem::path folder) : folder_(std::move(folder)) {}

    /// Copies the files of a result into a folder. An entry that was damaged counts as none and is removed.
    /// @return the files, in the order in which they were stored; none where there is no such result
    std::vector<std::string> fetch(const std::string &key, const std::filesystem::path &to) const;

    /// Keeps files of a folder. What fails is no error: the next run compiles again.
    void store(const std::string &key, const std::filesystem::path &from, const std::vector<std::string> &files) const;

private:
    void prune() const;

    std::filesystem::path folder_;
};

}  // namespace sepconv::compiler
