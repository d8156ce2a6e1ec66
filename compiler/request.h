// What is to be compiled: one layer, its weights and shape, the machines, and how the work is shared.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sepconv/config.h"
#include "sepconv/io.h"
#include "target.h"

namespace sepconv::compiler {

/// An extent that stays open: the compiled function takes it as an argument.
constexpr std::int64_t open = -1;

enum class Threads {
    pool,      ///< Halide's thread pool, which comes with the library
    none,      ///< one thread; the library then asks for no thread library
    supplied,  ///< a function of the program that links the library
};

/// What may be emitted beside the library.
enum class Emit { assembly, stmt, stmt_html, llvm, object, c };

struct Request {
    std::string name;  ///< of the function; a C identifier
    LayerConfig config;
    /// Of the input, in the order of the config's data_format; channels are never open.
    std::array<std::int64_t, 4> input = {};
    /// Packed into the library; without a value the function takes them as an argument.
    std::optional<StoredWeights> weights;
    std::vector<Machine> machines;
    Threads threads = Threads::pool;
    int tasks = 1;                      ///< among which an image is shared
    Dtype arithmetic = Dtype::float32;  ///< of everything before the activation
    std::string parallel_for;           ///< the supplied function's name
    std::string schedule;               ///< an autoscheduler's name as Halide knows it; empty: by hand
    std::set<Emit> emit;
};

/// The layer's dtype, and its arithmetic's, in Halide's words.
Halide::Type image_type(const Request &request);
Halide::Type sum_type(const Request &request);

/// The extents of an input, by what they are.
struct Extents {
    std::int64_t batch, height, width, channels;
};
Extents extents(const Request &request);

/// Where the dimensions stand in a shape.
struct Places {
    int batch = 0, height, width, channels;
};
Places places(DataFormat format);

/// The dimensions of the output, in its order, that the activation works along; none for an elementwise one.
std::array<bool, 4> along(const Request &request);

/// The dimension of the output that glu halves; -1 for any other activation.
int halved(const Request &request);

/// The shape of the output; open where the input's extents are that it follows from.
/// @throws ShapeError, ConfigError
std::array<std::int64_t, 4> output_shape(const Request &request);

/// @throws ShapeError, ConfigError, tools::UsageError  what cannot be compiled
void check(const Request &request);

}  // namespace sepconv::compiler
