// The whole command line of sepconv: what main reads its arguments by, and what the manual page and the completions are made of.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

namespace sepconv::tools {

/// The command with all its subcommands, those of other programs among them.
std::unique_ptr<CLI::App> command_line();

}  // namespace sepconv::tools
