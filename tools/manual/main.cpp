// sepconv_manual FOLDER: writes the manual page and the completions of the command into a folder. Runs while building.
#include <fmt/format.h>

#include <cerrno>
#include <exception>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "described.h"
#include "sepconv/layer.h"
#include "tools/command_line.h"

namespace {

void write(const std::filesystem::path &file, const std::string &text) {
    std::ofstream stream(file, std::ios::binary);
    stream << text;
    if (!stream.flush()) throw std::system_error(errno, std::generic_category(), file.string());
}

}  // namespace

int main(int argc, char **argv) try {
    using namespace sepconv::tools;
    if (argc != 2) {
        fmt::print(stderr, "sepconv_manual: expected a folder, found {} arguments\n", argc - 1);
        return 2;
    }
    const std::filesystem::path folder = argv[1];
    const auto program = command_line();
    write(folder / "sepconv.1", manual_page(*program, sepconv::version()));
    write(folder / "sepconv.bash", bash_completion(*program));
    write(folder / "_sepconv", zsh_completion(*program));
    write(folder / "sepconv.fish", fish_completion(*program));
    return 0;
} catch (const std::exception &error) {
    std::fputs(fmt::format("sepconv_manual: {}\n", error.what()).c_str(), stderr);
    return 1;
}
