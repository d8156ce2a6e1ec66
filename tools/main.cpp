// The sepconv command: finds the subcommand, turns errors into messages and exit codes (0 done, 1 failed, 2 the command line, the
// config or a file is wrong). What each subcommand does is in a file of its name, or in a program of its own.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "command_line.h"
#include "guarded.h"
#include "program.h"
#include "sepconv/layer.h"
#include "subcommands.h"

namespace {

// The subcommands that another program does, which takes the arguments behind them as they are. Only their help is the command's own.
using HandedOver = std::pair<std::string_view, const char *>;
constexpr std::array handed_over = {HandedOver{"compile", "sepconv-compile"}, HandedOver{"generate", "sepconv-generators"}};

bool asks_for_help(std::string_view argument) { return argument == "-h" || argument == "--help"; }

std::vector<std::string> subcommand_names(const CLI::App &program) {
    std::vector<std::string> names;
    for (const CLI::App *each : program.get_subcommands([](const CLI::App *) { return true; })) names.push_back(each->get_name());
    return names;
}

// "sepconv run" where the first argument is a subcommand, "sepconv" otherwise.
std::string full_name(const CLI::App &program, int argc, char **argv) {
    const std::vector<std::string> known = subcommand_names(program);
    if (argc < 2 || std::find(known.begin(), known.end(), argv[1]) == known.end()) return "sepconv";
    return fmt::format("sepconv {}", argv[1]);
}

// Results that did not arrive, as on a full disk, are a failure too.
int flush_results(const std::string &name) {
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
    return sepconv::tools::complain(name, fmt::format("standard output: cannot be written: {}", std::generic_category().message(errno)),
                                    sepconv::tools::failed);
}

// The first argument names a subcommand or asks about the program.
void check_subcommand(const CLI::App &program, int argc, char **argv) {
    using sepconv::tools::UsageError;
    const std::vector<std::string> known = subcommand_names(program);
    if (argc < 2) throw UsageError(fmt::format("expected a subcommand ({}), found none; try sepconv --help", fmt::join(known, ", ")));
    const std::string first = argv[1];
    const bool request = asks_for_help(first) || first == "--version";
    if (request || std::find(known.begin(), known.end(), first) != known.end()) return;
    throw UsageError(fmt::format("expected a subcommand ({}), --help or --version, found \"{}\"", fmt::join(known, ", "), first));
}

// Does not come back where the first argument names a subcommand of another program's.
void hand_over(int argc, char **argv) {
    if (argc > 2 && asks_for_help(argv[2])) return;
    for (const auto &[subcommand, program] : handed_over) {
        if (subcommand == argv[1]) sepconv::tools::run_program(program, {argv + 2, argv + argc});
    }
}

int run_command(CLI::App &program, int argc, char **argv) {
    using namespace sepconv;
    const std::string name = full_name(program, argc, argv);
    return tools::guarded(name, [&] {
        try {
            check_subcommand(program, argc, argv);
            hand_over(argc, argv);
            program.parse(argc, argv);
        } catch (const CLI::Success &request) {  // --help, --version
            program.exit(request);
            std::cout.flush();
        } catch (const CLI::ParseError &error) {
            return tools::complain(name, tools::command_line_message(program, name, error), tools::wrong_input);
        }
        return flush_results(name);
    });
}

}  // namespace

int main(int argc, char **argv) try {
    // A file that outgrows the user's limit is then an error of the write, which can be reported and cleaned up after.
    std::signal(SIGXFSZ, SIG_IGN);
    return run_command(*sepconv::tools::command_line(), argc, argv);
} catch (...) {  // there is no memory even for a message
    return sepconv::tools::failed;
}
