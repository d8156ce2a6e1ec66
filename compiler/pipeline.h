// A layer's pipelines for one machine, lowered: from a request to functions in Halide's intermediate form, and the weights in the layout
// that they read.
#pragma once

#include <string>
#include <vector>

#include "Halide.h"
#include "request.h"

namespace sepconv::compiler {

/// Which images a pipeline takes.
enum class Strides {
    dense,  ///< as C lays out an array; with packed weights an image's rows are written as one
    open,   ///< every stride but the innermost, which is 1
};

/// A tensor of a pipeline, with the extents that are known (open: -1), innermost first.
struct Tensor {
    std::string name;
    Halide::Type type;
    std::vector<std::int64_t> extents;
};

/// How the layer is computed on a machine.
struct Form {
    bool packed;     ///< the weights come packed for the machine; else in Keras' layout
    bool flat;       ///< the dense pipeline writes the rows of an image as one
    bool per_image;  ///< a call computes one image of the batch
    bool channels_first;
    bool on_gpu;
    /// Among which the images of the batch are shared, each task with a workspace of its own; 1 where they come one after the other, and
    /// each is shared.
    int image_tasks;
    Halide::Type image;           ///< of the buffers of the input and the output
    std::vector<Tensor> weights;  ///< in the order of the pipeline's arguments, dense
};
Form form_of(const Request &request, const Halide::Target &target);

/// A pipeline as functions: the one of its name takes the buffers of the input, of the weights and a pointer to the workspace, then the
/// output's buffer, and returns an error code.
struct Pipeline {
    std::string name;
    std::vector<Halide::Internal::LoweredFunc> functions;
    std::vector<Halide::Buffer<void>> constants;  ///< that the functions read
    std::int64_t workspace_bytes = 0;             ///< that a call needs, from an address that a cache line begins at
    bool takes_memory = false;                    ///< beside it, from malloc: what only a call knows the size of
    bool needs_runtime = false;                   ///< Halide's
    bool strict_float = false;                    ///< its sums keep their order
    std::string schedule;                         ///< the autoscheduler's, as source; empty by hand
};
Pipeline lower(const Request &request, const Halide::Target &target, Strides strides, const std::string &name);

/// Loads the autoscheduler that the request names, if any, from beside libHalide.
void load_autoscheduler(const Request &request);

/// Packs Keras' weights, rounded to the layer's dtype, as the pipelines of a form read them, one after the other, each from a cache line
/// on.
/// @return bytes
std::vector<std::uint8_t> pack(const Request &request, const Halide::Target &target, const Form &form, const StoredWeights &weights);

/// The same as a pipeline: takes the buffers of depthwise_kernel, pointwise_kernel and bias in Keras' layout, then one for each of
/// Form::weights.
Pipeline lower_packing(const Request &request, const Halide::Target &target, const std::string &name);

/// Where each of Form::weights begins, in bytes, and last where they end.
std::vector<std::int64_t> weight_offsets(const Form &form);

/// The parameters of the generator separable_conv2d, for the manifest and for `sepconv generate`.
std::vector<std::pair<std::string, std::string>> generator_parameters(const Request &request, const Form &form);

/// How the schedule by hand cuts a packed layer, in the words of schedules/known_shape.h; nothing for other forms.
std::vector<std::pair<std::string, std::int64_t>> tile_sizes(const Request &request, const Halide::Target &target, const Form &form);

}  // namespace sepconv::compiler
