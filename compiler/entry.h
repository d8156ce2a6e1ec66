// The C functions of a compiled layer, written in Halide's intermediate form, so that no C compiler takes part: they check their
// arguments, find the workspace and the weights, and call the pipelines image by image.
#pragma once

#include <string>
#include <vector>

#include "Halide.h"
#include "pipeline.h"
#include "request.h"

namespace sepconv::compiler {

/// What the functions return; the header that comes with the library explains them.
enum class Error { none = 0, null_pointer = 1, no_memory = 2, bad_shape = 3, bad_strides = 4, wrong_cpu = 5 };

/// One C function: its name behind the layer's, and its arguments.
struct Signature {
    struct Argument {
        std::string name, c_type;
        Halide::Type type;
    };
    std::string suffix;
    std::vector<Argument> arguments;
};

/// The functions of a layer in the order of the header: NAME, NAME_with_workspace, NAME_strided, and NAME_pack where the weights are
/// separate.
std::vector<Signature> signatures(const Request &request);

/// The layer's functions for one machine.
struct Parts {
    Form form;
    Pipeline dense, strided;
    Pipeline packing;                           ///< where the weights are separate
    std::string weights;                        ///< the name of the constant that holds them; empty where they are separate
    std::vector<std::string> constant_weights;  ///< on a GPU: constants of their own, which stay on the device
    /// Of one task, and of all that share the images of a batch.
    std::int64_t task_workspace_bytes() const { return std::max(dense.workspace_bytes, strided.workspace_bytes); }
    std::int64_t workspace_bytes() const { return task_workspace_bytes() * form.image_tasks; }
};

/// Appends the functions, named `prefix` and the signatures' suffixes, to the module that has the pipelines.
/// @return whether they need Halide's runtime
bool append_functions(Halide::Module &module, const Request &request, const Parts &parts, const std::string &prefix);

/// Functions that call those of the first machine whose features the CPU has, by the machines' suffixes.
void append_dispatchers(Halide::Module &module, const Request &request);

/// The name of a machine's functions.
std::string prefix_for(const Request &request, const Machine &machine);

}  // namespace sepconv::compiler
