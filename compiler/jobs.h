// From the command line to the layers that are to be compiled.
#pragma once

#include <functional>
#include <vector>

#include "request.h"
#include "tools/compile_options.h"

namespace sepconv::compiler {

struct Job {
    Request request;                         ///< still without weights
    std::function<StoredWeights()> weights;  ///< reads them; empty where they are separate
    std::string weights_file;                ///< for messages
};

/// @throws UsageError, ConfigError, ShapeError, FileError
std::vector<Job> make_jobs(const tools::CompileOptions &options);

/// Compiles one, or takes it from the cache, into the folder of the results.
/// @param work  an empty folder
/// @return whether it came from the cache
bool run_job(const Job &job, StoredWeights weights, const std::filesystem::path &work, const std::filesystem::path &cache,
             const std::filesystem::path &output);

}  // namespace sepconv::compiler
