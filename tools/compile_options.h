// The options of `sepconv compile`, which the command and the compiler behind it both read.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "layer_options.h"

namespace sepconv::tools {

struct CompileOptions {
    LayerOptions layer;  ///< weights may be "separate", and the layer "all"
    std::vector<std::string> input_shapes;
    std::string model_input_shape;
    std::string target = "host";
    std::string output, name;
    std::string threads;
    bool no_threads = false;
    std::string parallel_for;
    std::string schedule = "hand";
    std::string arithmetic = "float32";
    bool force_target = false;
    std::vector<std::string> emit;
    std::string jobs = "0";
    std::string cache;
    bool no_cache = false;
};

/// Adds the subcommand with its options and help; what it does is the caller's to add.
CLI::App *add_compile_options(CLI::App &program, CompileOptions &options);

}  // namespace sepconv::tools
