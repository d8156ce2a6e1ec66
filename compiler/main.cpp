// The program behind `sepconv compile`, which hands its arguments to it: the only one of the command's that loads libHalide.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <memory>
#include <thread>

#include "cache.h"
#include "files.h"
#include "jobs.h"
#include "package.h"
#include "tools/guarded.h"
#include "tools/subcommands.h"
#include "workers.h"

namespace {

namespace fs = std::filesystem;
using namespace sepconv;
using namespace sepconv::compiler;

constexpr const char *command = "sepconv compile";

fs::path cache_folder(const tools::CompileOptions &options) {
    if (options.no_cache) return {};
    return options.cache.empty() ? Cache::usual_folder() : fs::path(options.cache);
}

void make_folder(const std::string &folder) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error || !fs::is_directory(folder)) {
        throw tools::UsageError(fmt::format("--output: expected a folder, or the name of a new one, found {}{}", folder,
                                            error ? ": " + error.message() : ", which is a file"));
    }
}

// A line on standard error; on a terminal in place of the progress.
void say(const std::string &text) { std::fputs(fmt::format("{}{}: {}\n", clear_line(), command, text).c_str(), stderr); }

int compile_all(const tools::CompileOptions &options) {
    constexpr int most_jobs = 256;
    int jobs_at_once = tools::parse_number("--jobs", options.jobs, 0, most_jobs, " (as many as the machine has cores)");
    if (jobs_at_once == 0) jobs_at_once = std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, most_jobs);
    const std::vector<Job> jobs = make_jobs(options);
    make_folder(options.output);
    for (const Job &job : jobs) check_place(job.request, options.output);
    const WorkFolder work;
    const fs::path cache = cache_folder(options);
    std::vector<Task> tasks;
    const auto weights = std::make_shared<StoredWeights>();
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        const Job &job = jobs[i];
        const fs::path folder = work.path() / std::to_string(i);
        fs::create_directory(folder);
        tasks.push_back(
            {job.request.name,
             [&job, weights] {
                 if (job.weights) *weights = job.weights();
             },
             [&job, weights, folder, cache, &options] {
                 return tools::guarded(fmt::format("{}: {}", command, job.request.config.name), [&] {
                     const auto begin = std::chrono::steady_clock::now();
                     const bool cached = run_job(job, std::move(*weights), folder, cache, options.output);
                     const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
                     say(fmt::format("{} ({})", job.request.name, cached ? "from the cache" : fmt::format("{:.1f} s", time.count())));
                     return 0;
                 });
             }});
    }
    return run_tasks(tasks, jobs_at_once);
}

}  // namespace

int main(int argc, char **argv) {
    // A file that outgrows the user's limit is then an error of the write, which can be reported.
    std::signal(SIGXFSZ, SIG_IGN);
    return tools::guarded(command, [&] {
        CLI::App program("", "sepconv");
        tools::CompileOptions options;
        tools::add_compile_options(program, options);
        std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
        std::reverse(arguments.begin(), arguments.end());
        arguments.emplace_back("compile");
        try {
            program.parse(arguments);
        } catch (const CLI::Success &request) {
            program.exit(request);
            std::cout.flush();
            return 0;
        } catch (const CLI::ParseError &error) {
            return tools::complain(command, tools::command_line_message(program, command, error), tools::wrong_input);
        }
        return compile_all(options);
    });
}
