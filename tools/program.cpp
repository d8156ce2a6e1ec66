// Finds and starts the programs that load libHalide.
#include "program.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

#include "subcommands.h"

namespace sepconv::tools {
namespace {

namespace fs = std::filesystem;

// From the folder of the installed command.
constexpr const char *installed_programs = SEPCONV_PROGRAMS;

}  // namespace

fs::path find_program(const std::string &name) {
    std::error_code error;
    const fs::path command = fs::read_symlink("/proc/self/exe", error);
    if (error) throw Failure(fmt::format("/proc/self/exe: cannot be read, and so {} not found: {}", name, error.message()));
    const fs::path installed = (command.parent_path() / installed_programs).lexically_normal() / name;
    for (const fs::path &program : {installed, command.parent_path() / name}) {
        if (fs::is_regular_file(program, error)) return program;
    }
    throw UsageError(
        fmt::format("expected the program {}, found none; it belongs to the component generators of sepconv and is installed as {}", name,
                    installed.string()));
}

void run_program(const std::string &name, const std::vector<std::string> &arguments) {
    const std::string program = find_program(name).string();
    std::vector<char *> words = {const_cast<char *>(program.c_str())};
    for (const std::string &argument : arguments) words.push_back(const_cast<char *>(argument.c_str()));
    words.push_back(nullptr);
    std::signal(SIGXFSZ, SIG_DFL);  // what main() ignores, the new program would ignore too
    execv(program.c_str(), words.data());
    throw Failure(fmt::format("{}: cannot be started: {}", program, std::generic_category().message(errno)));
}

}  // namespace sepconv::tools
