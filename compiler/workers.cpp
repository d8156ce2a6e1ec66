// Runs tasks by fork(2): Halide keeps its state, its stack and its errors to one process, and a crash takes one layer with it.
#include "workers.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <map>
#include <system_error>

#include "tools/subcommands.h"

namespace sepconv::compiler {
namespace {

volatile std::sig_atomic_t ended_by = 0;

void remember(int signal) { ended_by = signal; }

// While it lives the signals that end a program are remembered instead.
class Signals {
public:
    Signals() {
        struct sigaction action = {};
        action.sa_handler = remember;
        for (std::size_t i = 0; i < std::size(signals); ++i) {
            sigaction(signals[i], &action, &before_[i]);
            // One that is ignored, as by nohup, stays ignored.
            if (before_[i].sa_handler == SIG_IGN) sigaction(signals[i], &before_[i], nullptr);
        }
    }
    Signals(const Signals &) = delete;
    Signals &operator=(const Signals &) = delete;
    ~Signals() { restore(); }
    void restore() const {
        for (std::size_t i = 0; i < std::size(signals); ++i) sigaction(signals[i], &before_[i], nullptr);
    }

private:
    static constexpr int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction before_[std::size(signals)] = {};
};

// Lines on standard error: on a terminal one that is written over and over.
class Progress {
public:
    explicit Progress(std::size_t count) : count_(count), terminal_(::isatty(STDERR_FILENO) == 1) {}
    void show(const std::vector<std::string> &running) const {
        if (!terminal_) return;
        constexpr std::size_t width = 24;
        const std::size_t filled = count_ == 0 ? width : done_ * width / count_;
        std::string names;
        for (const std::string &name : running) names += " " + name;
        constexpr std::size_t most = 40;
        if (names.size() > most) names = names.substr(0, most) + "…";
        print(fmt::format("{}[{}{}] {}/{}{}", clear_line(), std::string(filled, '#'), std::string(width - filled, '.'), done_, count_,
                          names));
    }
    void finished() {
        ++done_;
        clear();
    }
    static void clear() { print(clear_line()); }

private:
    static void print(const std::string &text) { std::fputs(text.c_str(), stderr); }

    std::size_t count_, done_ = 0;
    bool terminal_;
};

pid_t start(const Task &task, const Signals &signals) {
    std::fflush(nullptr);
    const pid_t parent = ::getpid(), child = ::fork();
    if (child < 0)
        throw tools::Failure(fmt::format("{}: no process can be started: {}", task.name, std::generic_category().message(errno)));
    if (child > 0) return child;
    signals.restore();
    // It ends with its parent, whatever ends that.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    const int code = task.work();
    std::fflush(nullptr);
    ::_exit(code);
}

int exit_code(int status, const std::string &name) {
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    std::fputs(fmt::format("sepconv compile: {}: the compiler was ended by signal {}\n", name, WTERMSIG(status)).c_str(), stderr);
    return 1;
}

void end_all(std::map<pid_t, std::string> &running) {
    for (const auto &[child, what] : running) ::kill(child, SIGKILL);
    for (const auto &[child, what] : running) {
        while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
        }
    }
    running.clear();
}

}  // namespace

const char *clear_line() { return ::isatty(STDERR_FILENO) == 1 ? "\r\033[K" : ""; }

int run_tasks(const std::vector<Task> &tasks, int jobs) {
    const Signals signals;
    Progress progress(tasks.size());
    std::map<pid_t, std::string> running;
    std::size_t next = 0;
    int worst = 0;
    try {
        while (next < tasks.size() || !running.empty()) {
            while (ended_by == 0 && next < tasks.size() && running.size() < static_cast<std::size_t>(jobs)) {
                const Task &task = tasks[next++];
                task.prepare();
                running[start(task, signals)] = task.name;
            }
            std::vector<std::string> names;
            names.reserve(running.size());
            for (const auto &[child, what] : running) names.push_back(what);
            progress.show(names);
            int status = 0;
            const pid_t child = ended_by != 0 ? -1 : ::waitpid(-1, &status, 0);
            if (ended_by != 0) {
                end_all(running);
                progress.clear();
                throw tools::Failure(fmt::format("ended by signal {}", static_cast<int>(ended_by)));
            }
            if (child < 0 || running.count(child) == 0) continue;
            progress.finished();
            worst = std::max(worst, exit_code(status, running[child]));
            running.erase(child);
        }
    } catch (...) {
        end_all(running);
        throw;
    }
    return worst;
}

}  // namespace sepconv::compiler
