// Starts the command by fork and exec, with its outputs in files beside the test's folder.
#include "spawned.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zip.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>

namespace sepconv::tools {
namespace {

namespace fs = std::filesystem;

std::string content_of(const fs::path &file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

// Where the outputs of a process go.
struct Outputs {
    std::string out, err;
};

pid_t spawn(const fs::path &folder, const std::vector<std::string> &arguments, const Outputs &outputs,
            const std::function<void()> &prepare) {
    const pid_t process = fork();
    if (process < 0) throw std::runtime_error("fork failed");
    if (process > 0) return process;
    const int out = open(outputs.out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int err = open(outputs.err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (out < 0 || err < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0 || chdir(folder.c_str()) != 0) _exit(126);
    // Nothing of the user's own settings.
    unsetenv("SEPCONV_TARGET");
    setenv("KERAS_HOME", folder.c_str(), 1);
    if (prepare) prepare();
    std::vector<char *> words;
    for (const std::string &argument : arguments) words.push_back(const_cast<char *>(argument.c_str()));
    words.push_back(nullptr);
    execv(words.front(), words.data());
    _exit(127);
}

int wait_for(pid_t process) {
    int status = 0;
    while (waitpid(process, &status, 0) < 0) {
        if (errno != EINTR) throw std::runtime_error("waitpid failed");
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Result finish(const fs::path &folder, const std::vector<std::string> &arguments, const std::function<void()> &prepare) {
    const Outputs outputs{folder.string() + ".out", folder.string() + ".err"};
    Result result;
    result.code = wait_for(spawn(folder, arguments, outputs, prepare));
    result.out = content_of(outputs.out);
    result.err = content_of(outputs.err);
    return result;
}

}  // namespace

CommandTest::CommandTest() {
    std::string name = (fs::temp_directory_path() / "sepconv-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder can be made");
    folder_ = name;
}

CommandTest::~CommandTest() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
    fs::remove(folder_.string() + ".out", ignored);
    fs::remove(folder_.string() + ".err", ignored);
}

Result CommandTest::run(const std::vector<std::string> &arguments, const std::function<void()> &prepare) const {
    std::vector<std::string> all = {SEPCONV_COMMAND};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return finish(folder_, all, prepare);
}

int CommandTest::start(const std::vector<std::string> &arguments) const {
    std::vector<std::string> all = {SEPCONV_COMMAND};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return spawn(folder_, all, {"/dev/null", "/dev/null"}, {});
}

Result CommandTest::script(const std::string &text) const {
    const char *inherited = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe)
    const std::string paths =
        fmt::format("{}:{}:{}", fs::path(SEPCONV_COMMAND).parent_path().string(), fs::path(SEPCONV_PYTHON).parent_path().string(),
                    inherited == nullptr ? "/usr/bin:/bin" : inherited);
    return finish(folder_, {"/bin/sh", "-e", "-c", text}, [&] { setenv("PATH", paths.c_str(), 1); });
}

void CommandTest::write(const std::string &name, const std::string &content) const {
    std::ofstream stream(path(name), std::ios::binary);
    stream << content;
    if (!stream.flush()) throw std::runtime_error(name + " cannot be written");
}

std::string CommandTest::read(const std::string &name) const { return content_of(path(name)); }

std::vector<std::string> CommandTest::files() const {
    std::vector<std::string> names;
    for (const auto &entry : fs::directory_iterator(folder_)) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

std::string example_in(const std::string &help) {
    const std::string title = "Example:\n";
    const std::size_t start = help.find(title);
    if (start == std::string::npos) return {};
    return help.substr(start + title.size(), help.find("\n\n", start) - start - title.size());
}

Array few_values(const std::vector<std::int64_t> &shape) {
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) count *= extent;
    Array array{shape, {}};
    for (std::int64_t i = 0; i < count; ++i) array.values.push_back(static_cast<float>(i * 37 % 23 - 11) / 8);
    return array;
}

void CommandTest::write_array(const std::string &name, const std::vector<std::int64_t> &shape) const {
    const Array array = few_values(shape);
    std::string text = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({},)}}", fmt::join(shape, ","));
    if (shape.empty()) text = "{'descr': '<f4', 'fortran_order': False, 'shape': ()}";
    text.resize(118, ' ');
    write(name, std::string("\x93NUMPY\x01\x00\x76\x00", 10) + text +
                    std::string(reinterpret_cast<const char *>(array.values.data()), array.values.size() * sizeof(float)));
}

void CommandTest::write_weights(const std::string &name, const std::map<std::string, std::vector<std::int64_t>> &shapes) const {
    zip_t *archive = zip_open(path(name).c_str(), ZIP_CREATE | ZIP_TRUNCATE, nullptr);
    if (archive == nullptr) throw std::runtime_error(name + " cannot be written");
    std::vector<std::string> contents;
    contents.reserve(shapes.size());
    for (const auto &[key, shape] : shapes) {
        const std::string member = key + ".npy";
        write_array(member, shape);
        contents.push_back(read(member));
        fs::remove(path(member));
        zip_file_add(archive, member.c_str(), zip_source_buffer(archive, contents.back().data(), contents.back().size(), 0), 0);
    }
    if (zip_close(archive) != 0) throw std::runtime_error(name + " cannot be written");
}

}  // namespace sepconv::tools
