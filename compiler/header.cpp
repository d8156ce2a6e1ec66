// Writes the header of a compiled layer, for C99 and C++.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

#include "library.h"

namespace sepconv::compiler {
namespace {

std::string upper(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
    return text;
}

// For example "1, 30, ?, 16".
std::string words(const std::array<std::int64_t, 4> &shape) {
    std::vector<std::string> parts;
    parts.reserve(shape.size());
    for (const std::int64_t extent : shape) parts.push_back(extent == open ? "?" : std::to_string(extent));
    return fmt::format("{}", fmt::join(parts, ", "));
}

const char *order(const Request &request) {
    return request.config.data_format == DataFormat::channels_first ? "batch, channels, height, width" : "batch, height, width, channels";
}

// The extents that are known, by name.
std::string shape_macros(const Request &request, const std::string &macro) {
    const Places at = places(request.config.data_format);
    std::string text;
    for (const auto &[tensor, shape] : {std::pair{"INPUT", request.input}, std::pair{"OUTPUT", output_shape(request)}}) {
        std::int64_t size = 1;
        for (const auto &[name, place] :
             {std::pair{"BATCH", at.batch}, {"HEIGHT", at.height}, {"WIDTH", at.width}, {"CHANNELS", at.channels}}) {
            if (shape[place] == open) {
                size = open;
                continue;
            }
            text += fmt::format("#define {}_{}_{} {}\n", macro, tensor, name, shape[place]);
            if (size != open) size *= shape[place];
        }
        if (size != open)
            text += fmt::format("#define {}_{}_SIZE {} /* {} */\n", macro, tensor, size,
                                request.config.dtype == Dtype::float16 ? "numbers of float16" : "floats");
    }
    return text;
}

struct Code {
    Error error;
    const char *name, *meaning;
};
constexpr Code codes[] = {
    {Error::null_pointer, "NULL_POINTER", "a pointer is null"},
    {Error::no_memory, "NO_MEMORY", "there is not enough memory"},
    {Error::bad_shape, "BAD_SHAPE", "an extent is not above zero, is too large, or no window fits into the image"},
    {Error::bad_strides, "BAD_STRIDES", "the last stride is not 1, or a stride is too large"},
    {Error::wrong_cpu, "WRONG_CPU", "this CPU runs none of the targets that the library was compiled for"},
};

bool can_happen(const Request &request, Error error) {
    if (error == Error::wrong_cpu) return request.machines.size() > 1;
    if (error == Error::bad_shape) return std::count(request.input.begin(), request.input.end(), open) > 0;
    return true;
}

std::string error_codes(const Request &request, const std::string &macro) {
    std::string text = "/* What the functions return: 0 when all is done, or one of these; then the output is not to be used. */\n";
    std::string cases;
    for (const Code &code : codes) {
        if (!can_happen(request, code.error)) continue;
        text += fmt::format("#define {}_ERROR_{} {} /* {} */\n", macro, code.name, static_cast<int>(code.error), code.meaning);
        cases += fmt::format("        case {}_ERROR_{}: return \"{}\";\n", macro, code.name, code.meaning);
    }
    std::string others = "unknown error";
    if (request.threads == Threads::supplied) others = "the parallel-for failed";
    if (on_gpu(request.machines.front().target)) others = "the GPU or its driver failed";
    if (others != "unknown error") text += fmt::format("/* Any other value: {}. */\n", others);
    text += fmt::format(
        "\n/* An error code in words. */\n"
        "static inline const char *{}_error(int code) {{\n"
        "    switch (code) {{\n"
        "        case 0: return \"done\";\n"
        "{}"
        "        default: return \"{}\";\n"
        "    }}\n"
        "}}\n",
        request.name, cases, others);
    return text;
}

std::string declaration(const Request &request, const Signature &signature) {
    std::vector<std::string> arguments;
    arguments.reserve(signature.arguments.size());
    for (const Signature::Argument &each : signature.arguments) arguments.push_back(each.c_type + each.name);
    return fmt::format("int {}{}({});\n", request.name, signature.suffix, fmt::join(arguments, ", "));
}

// The rows or columns of output for an open number of input.
std::string output_extent(const Request &request, const char *what, int axis, std::int64_t known) {
    const Places at = places(request.config.data_format);
    const int dimension = axis == 0 ? at.height : at.width;
    if (request.input[dimension] != open || known != open) return {};
    const LayerConfig &config = request.config;
    const std::int64_t span = (config.kernel_size[axis] - 1) * config.dilation_rate[axis] + 1, stride = config.strides[axis];
    std::string value = config.padding == Padding::same ? fmt::format("({} + {}) / {}", what, stride - 1, stride)
                                                        : fmt::format("{} < {} ? 0 : ({} - {}) / {} + 1", what, span, what, span, stride);
    if (halved(request) == dimension) value = fmt::format("({}) / 2", value);
    return fmt::format("static inline int64_t {}_output_{}(int64_t {}) {{ return {}; }}\n", request.name, what, what, value);
}

std::string open_extents(const Request &request) {
    const Places at = places(request.config.data_format);
    const auto output = output_shape(request);
    const std::string functions =
        output_extent(request, "height", 0, output[at.height]) + output_extent(request, "width", 1, output[at.width]);
    return functions.empty() ? functions : "\n/* The output's extents for an input's; 0 where no window fits. */\n" + functions;
}

std::string threads(const Request &request, const Library &library) {
    if (request.threads == Threads::supplied) {
        return fmt::format(
            " * The program that links the library has to define, with C linkage,\n"
            " *     int {}(void *user_context, int (*task)(void *user_context, int index, uint8_t *closure),\n"
            " *         int first, int count, uint8_t *closure);\n"
            " * which calls task(user_context, index, closure) for each index from `first` to first + count - 1, in any order and on any\n"
            " * threads, waits for all, and returns 0, or a result of theirs that is not 0.\n",
            request.parallel_for);
    }
    if (!library.has_runtime || on_gpu(request.machines.front().target)) return " * One thread: no thread library is needed.\n";
    return fmt::format(
        " * The work is shared among {} threads of a pool that all libraries of one program have in common; HL_NUM_THREADS sets its "
        "size.\n",
        request.tasks);
}

// What a program has to know of float16.
std::string half_precision(const Request &request) {
    if (request.config.dtype != Dtype::float16) return {};
    return fmt::format(
        " * Each uint16_t has the bits of a float16 (IEEE 754 binary16), as a _Float16 or an __fp16 has, whose address may be cast. What "
        "is\n"
        " * before the activation is computed in {}, the activation in float32; its results are rounded once, to nearest.\n",
        name(request.arithmetic));
}

std::string weight_functions(const Request &request, const std::string &macro, const std::vector<Signature> &all) {
    const Signature &pack = all.back();
    const LayerConfig &config = request.config;
    const std::int64_t channels = extents(request).channels;
    return fmt::format(
        "\n/* Packs Keras' weights for the functions above: depthwise_kernel ({}, {}, {}, {}){} pointwise_kernel (1, 1, {}, {}){}, dense\n"
        " * and in C order, into {}_WEIGHTS_BYTES bytes that begin at a multiple of 64. They fit {} only.{} */\n{}",
        config.kernel_size[0], config.kernel_size[1], channels, config.depth_multiplier, config.use_bias ? "," : " and",
        channels * config.depth_multiplier, config.filters, config.use_bias ? fmt::format(" and bias ({})", config.filters) : "", macro,
        request.machines.size() > 1 ? "the target that this CPU takes" : "this library",
        request.config.dtype == Dtype::float16 ? "\n * Values that are no float16 are rounded to one, as Keras does." : "",
        declaration(request, pack));
}

}  // namespace

std::string header(const Request &request, const Library &library) {
    const std::string macro = upper(request.name);
    const std::vector<Signature> all = signatures(request);
    const bool separate = !request.weights.has_value(), opens = std::count(request.input.begin(), request.input.end(), open) > 0;
    std::vector<std::string> targets;
    targets.reserve(library.machines.size());
    for (const MachineReport &machine : library.machines) targets.push_back(machine.target);
    std::string text = fmt::format(
        "/* {} (SeparableConv2D), compiled for {}.\n"
        " * Input ({}), output ({}): {}; {}, dense and in C order.\n"
        "{}"
        "{}"
        " * Every function may be called from several threads at once. */\n"
        "#ifndef {}_H\n#define {}_H\n\n#include <stdint.h>\n\n#ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n",
        request.config.name, fmt::join(targets, ", "), words(request.input), words(output_shape(request)), order(request),
        name(request.config.dtype), half_precision(request), threads(request, library), macro, macro);
    text += shape_macros(request, macro);
    text += fmt::format("#define {}_WORKSPACE_BYTES {}\n", macro, library.workspace_bytes);
    if (separate) text += fmt::format("#define {}_WEIGHTS_BYTES {}\n", macro, library.weight_bytes);
    text += open_extents(request);
    text += "\n" + error_codes(request, macro);
    text += fmt::format("\n/* Computes the layer.{} The workspace comes from malloc. */\n{}",
                        opens ? " An extent that was left open is an argument." : "", declaration(request, all[0]));
    text += fmt::format(
        "\n/* The same {}: `workspace` is {}_WORKSPACE_BYTES bytes that begin at a multiple of 64 and that no other call uses\n"
        " * meanwhile; it needs no contents.{} */\n{}",
        library.takes_memory ? "in memory of the caller" : "without an allocation", macro,
        library.takes_memory ? " What only the open extents give a size comes from malloc all the same." : "",
        declaration(request, all[1]));
    text += fmt::format(
        "\n/* The same on parts of larger arrays: the distance, in elements, from one element to the next along each of the four "
        "dimensions "
        "in\n"
        " * their order; the last is 1. The workspace may be null; it then comes from malloc. */\n{}",
        declaration(request, all[2]));
    if (separate) text += weight_functions(request, macro, all);
    return text + "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n";
}

}  // namespace sepconv::compiler
