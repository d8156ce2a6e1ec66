// The options by which a subcommand takes a layer: a config, or a model file and the name of a layer in it; and the target to run it on.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sepconv/io.h"

namespace sepconv::tools {

struct LayerOptions {
    std::string config, weights, model, model_weights, layer;
    std::string target = "host", arithmetic = "float32";
};

/// Adds --config, --model, --model-weights, --layer, --target and --arithmetic; and --weights for a subcommand that needs a layer's values.
void add_layer_options(CLI::App &subcommand, LayerOptions &options, bool with_weights);

/// A layer as the command line names it.
struct NamedLayer {
    LayerConfig config;
    std::optional<StoredWeights> weights;  ///< none where no file that was given has them
    std::string weights_file;              ///< for messages
};

/// Reads the layer that the options name.
/// @param need_weights  a layer without weights is an error
/// @throws UsageError, ConfigError, FileError
NamedLayer read_layer(const LayerOptions &options, bool need_weights, const ReadOptions &read);

/// @throws UsageError
Arithmetic parse_arithmetic(const std::string &name);

/// The target as Layer takes it: empty for "host".
/// @throws UsageError   where the name is unknown or this CPU does not run it; the message lists those that it may be
/// @throws TargetError  for "host", where $SEPCONV_TARGET is wrong or no target of that arithmetic runs here
std::string checked_target(const std::string &name, Arithmetic arithmetic);

/// Checks that an option was given, without which the subcommand has nothing to do.
/// @param what  what the option takes, in words
/// @throws UsageError
void require_option(const char *option, const std::string &value, const char *what);

/// Adds --input-shape.
/// @param what  the help text's beginning
void add_input_shape(CLI::App &subcommand, std::string &shape, const std::string &what);

/// The four extents of --input-shape, in the order of the layer's data_format.
/// @throws UsageError
Shape parse_input_shape(const std::string &text);

/// Weights of a layer for which no values are at hand: zeros.
/// @throws ShapeError  where they would take more memory than those of any real layer, so that the shape is a mistake
StoredWeights zero_weights(const LayerConfig &config, std::int64_t channels);

/// A whole number from `least` to `most`.
/// @param note  what `least` means, for the message
/// @throws UsageError
int parse_number(const char *option, const std::string &text, int least, int most, const char *note = "");

/// The number of --threads; 0: all that the machine has.
/// @throws UsageError
int parse_threads(const std::string &text);

/// How every file is read: remarks go to standard error, after the subcommand's name.
ReadOptions read_options(const std::string &subcommand);

/// For example (1, 60, 60, 8), and the names of the four dimensions in the order of a data format.
std::string words(const std::vector<std::int64_t> &shape);
const char *dimensions(DataFormat format);

}  // namespace sepconv::tools
