// The command line as the manual page and the completions need it, and the text of each of these. A subcommand that adds its options to
// the command (command_line.h) is in all of them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace sepconv::tools {

/// One option of a subcommand.
struct Described {
    std::vector<std::string> names;  ///< with their dashes, short ones first; the one name of a positional argument
    std::string value;               ///< how the help calls its value; empty for a flag and for a positional argument
    std::string what;                ///< the help's text
    bool positional = false;
    /// The values that it may take, where the help names them all with bars between: host|avx2.
    std::vector<std::string> choices;
    bool takes_file() const { return value == "FILE"; }
    bool takes_folder() const { return value == "DIR"; }
};

/// The options of a program or subcommand, --help among them.
std::vector<Described> described_options(const CLI::App &app);
std::vector<const CLI::App *> described_subcommands(const CLI::App &program);
/// The first line of a description.
std::string title(const CLI::App &app);

/// In the language of man(7).
std::string manual_page(const CLI::App &program, const std::string &version);
std::string bash_completion(const CLI::App &program);
std::string zsh_completion(const CLI::App &program);
std::string fish_completion(const CLI::App &program);

}  // namespace sepconv::tools
