// Turns errors into messages and exit codes.
#include "guarded.h"

#include <fmt/format.h>

#include <cstdio>
#include <new>
#include <vector>

#include "subcommands.h"

namespace sepconv::tools {

int complain(const std::string &name, const std::string &message, int code) {
    // Nothing is left to say it with where standard error is closed, so that this cannot fail.
    std::fputs(fmt::format("{}: {}\n", name, message).c_str(), stderr);
    return code;
}

int guarded(const std::string &name, const std::function<int()> &work) {
    try {
        return work();
    } catch (const Failure &error) {
        return complain(name, error.what(), failed);
    } catch (const ExecutionError &error) {
        return complain(name, error.what(), failed);
    } catch (const Error &error) {
        return complain(name, error.what(), wrong_input);
    } catch (const std::bad_alloc &) {
        return complain(name, "there is not enough memory", failed);
    } catch (const std::exception &error) {
        return complain(name, error.what(), failed);
    }
}

std::string command_line_message(const CLI::App &program, const std::string &name, const CLI::ParseError &error) {
    const auto chosen = program.get_subcommands();
    const std::vector<std::string> unknown = chosen.empty() ? program.remaining() : chosen.front()->remaining();
    // What follows an unknown option may be its value.
    const std::string problem = unknown.empty() ? error.what() : fmt::format("unknown argument {}", unknown.front());
    return fmt::format("{} (see {} --help)", problem, name);
}

}  // namespace sepconv::tools
