// How the project's programs fail: a message on standard error and an exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

namespace sepconv::tools {

constexpr int failed = 1, wrong_input = 2;

/// Says on standard error what is wrong, after the name of the program.
/// @return code
int complain(const std::string &name, const std::string &message, int code);

/// Does the work and returns its exit code; what it throws becomes a message and a code.
int guarded(const std::string &name, const std::function<int()> &work);

/// What is wrong with a command line that CLI11 refused.
std::string command_line_message(const CLI::App &program, const std::string &name, const CLI::ParseError &error);

}  // namespace sepconv::tools
