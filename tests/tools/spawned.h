// Runs the sepconv command as a user does, in a folder of its own, and makes the files that it reads.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sepconv/io.h"

namespace sepconv::tools {

/// What a run of the command left behind.
struct Result {
    int code = -1;         ///< the exit code; 128 and the signal's number where one ended it
    std::string out, err;  ///< standard output and error
};

/// A folder of its own for each test, and a file system in which nothing else happens.
class CommandTest : public testing::Test {
protected:
    CommandTest();
    ~CommandTest() override;

    /// Runs `sepconv ARGUMENTS…` in the folder.
    /// @param prepare  called in the new process before the command takes its place; may set limits and redirect
    Result run(const std::vector<std::string> &arguments, const std::function<void()> &prepare = {}) const;
    /// The same without waiting for it: the process, whose outputs go nowhere.
    int start(const std::vector<std::string> &arguments) const;
    /// Runs a shell script in the folder, with the command and a Python that has NumPy first in its path.
    Result script(const std::string &text) const;

    std::filesystem::path path(const std::string &name) const { return folder_ / name; }
    void write(const std::string &name, const std::string &content) const;
    std::string read(const std::string &name) const;
    /// The names of all files in the folder, sorted.
    std::vector<std::string> files() const;
    /// A .npy of a few different values.
    void write_array(const std::string &name, const std::vector<std::int64_t> &shape) const;
    /// A .npz of such arrays.
    void write_weights(const std::string &name, const std::map<std::string, std::vector<std::int64_t>> &shapes) const;

private:
    std::filesystem::path folder_;
};

/// What stands under "Example:" in a subcommand's help, up to the next empty line.
std::string example_in(const std::string &help);

/// Values that differ from their neighbours, for example -1.25 and 0.5.
Array few_values(const std::vector<std::int64_t> &shape);

}  // namespace sepconv::tools
