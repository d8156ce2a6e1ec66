// Compiles layers in processes of their own, some at a time, and says how far it is.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace sepconv::compiler {

/// One process's work.
struct Task {
    std::string name;
    std::function<void()> prepare;  ///< in this process, just before the other begins; may throw
    std::function<int()> work;      ///< in the other, whose exit code it returns
};

/// What takes the progress from the line that it is in; empty where standard error is no terminal.
const char *clear_line();

/// Runs all of them, at most `jobs` at a time. A task that fails leaves the others alone.
/// @return the highest of their exit codes
/// @throws tools::Failure  on a signal that ends the program, after the processes have ended
int run_tasks(const std::vector<Task> &tasks, int jobs);

}  // namespace sepconv::compiler
