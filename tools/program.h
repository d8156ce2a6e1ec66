// The programs that load libHalide. The command loads none: it hands the subcommands that need it over to one of these.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace sepconv::tools {

/// Where the program `name` lies: in libexec/sepconv where the command is installed, beside the command in a build. The command's own
/// place is that of the file that runs, so that a link to it may lie anywhere.
/// @throws UsageError  where it is in neither; the message names the component that it belongs to
std::filesystem::path find_program(const std::string &name);

/// Puts the program `name` in this process's place, with the arguments as they are; its exit code is then the command's.
/// @throws UsageError  as find_program
/// @throws Failure     where the system does not start it
[[noreturn]] void run_program(const std::string &name, const std::vector<std::string> &arguments);

}  // namespace sepconv::tools
