// From a request to files: object code for every machine, the archive, the header, and what else was asked for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "entry.h"
#include "request.h"

namespace sepconv::compiler {

/// What became of one machine's code.
struct MachineReport {
    std::string target;                                           ///< as Halide writes it
    std::string weights;                                          ///< how they lie in memory: "packed" or "Keras"
    std::vector<std::pair<std::string, std::string>> parameters;  ///< of the generator
    std::vector<std::pair<std::string, std::int64_t>> tiles;      ///< how the schedule by hand cuts the layer
    std::string schedule;                                         ///< an autoscheduler's, as source; empty by hand
    std::int64_t workspace_bytes = 0, weight_bytes = 0, object_bytes = 0;
    bool takes_memory = false;  ///< beside the workspace, from malloc
};

struct Library {
    std::vector<MachineReport> machines;
    bool has_runtime = false;                            ///< Halide's runtime is in the archive
    std::int64_t workspace_bytes = 0, weight_bytes = 0;  ///< that the functions ask for, on whichever machine
    bool takes_memory = false;                           ///< they take more from malloc, whose size only a call knows
    std::string archive;                                 ///< its file's name
    std::vector<std::string> files;                      ///< in the folder, the archive first
};

/// Compiles into `folder`, which exists; other files there are left alone.
/// @throws tools::Failure  where the compiler refuses its own input, which is a mistake in it
Library compile(const Request &request, const std::filesystem::path &folder);

/// The header of the library, as C and C++ read it.
std::string header(const Request &request, const Library &library);

}  // namespace sepconv::compiler
