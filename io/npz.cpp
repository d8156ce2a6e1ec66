// NumPy's .npz archives: a zip of .npy members; and a layer's weights in one.
#include <fmt/format.h>

#include <set>

#include "message.h"
#include "npy.h"
#include "sepconv/error.h"
#include "sepconv/io.h"
#include "zip_file.h"

namespace sepconv {

namespace {

constexpr std::string_view suffix = ".npy";

std::string array_name(const std::string &member) {
    return member.ends_with(suffix) ? member.substr(0, member.size() - suffix.size()) : member;
}

// Reads the arrays that `wanted` names; every one where it is empty. `found` receives the names of all.
std::map<std::string, Array> read_arrays(const std::filesystem::path &file, const ReadOptions &options, const std::set<std::string> &wanted,
                                         std::vector<std::string> &found) {
    const io::ZipFile archive(file);
    io::Allowance allowance(options.max_bytes);
    std::map<std::string, Array> arrays;
    for (const io::ZipFile::Member &member : archive.members()) {
        const std::string name = array_name(member.name);
        if (name == member.name) {
            if (options.warn)
                options.warn(fmt::format("{}: {} is no .npy array and was not read", file.string(), io::in_quotes(member.name)));
            continue;
        }
        found.push_back(name);
        if (!wanted.empty() && !wanted.contains(name)) continue;
        archive.read(member.name,
                     [&](const io::ByteSource &source) { arrays[name] = io::read_npy(source, allowance, options.warn, options.dtype); });
    }
    return arrays;
}

Shape shape4(const Array &array, const char *name) {
    Shape shape = {};
    if (array.shape.size() != shape.size()) {
        throw ShapeError(fmt::format("{}: expected 4 dimensions, found shape {}", name, io::shape_text(array.shape)));
    }
    std::copy(array.shape.begin(), array.shape.end(), shape.begin());
    return shape;
}

}  // namespace

std::map<std::string, Array> read_npz(const std::filesystem::path &file, const ReadOptions &options) {
    std::vector<std::string> found;
    return read_arrays(file, options, {}, found);
}

StoredWeights read_weights_npz(const std::filesystem::path &file, const ReadOptions &options) {
    const std::set<std::string> wanted = {"depthwise_kernel", "pointwise_kernel", "bias"};
    std::vector<std::string> found;
    std::map<std::string, Array> arrays = read_arrays(file, options, wanted, found);
    const auto take = [&](const std::string &name, std::size_t rank, std::string_view axes) {
        const auto entry = arrays.find(name);
        if (entry == arrays.end())
            throw FileError(fmt::format("{}: expected an array {}, found {}", file.string(), name, io::listed(found)));
        if (entry->second.shape.size() != rank) {
            throw FileError(
                fmt::format("{}: {}: expected shape {}, found {}", file.string(), name, axes, io::shape_text(entry->second.shape)));
        }
        return std::move(entry->second);
    };
    StoredWeights weights;
    weights.depthwise_kernel = take("depthwise_kernel", 4, "(kh, kw, C, M)");
    weights.pointwise_kernel = take("pointwise_kernel", 4, "(1, 1, C*M, F)");
    if (arrays.contains("bias")) weights.bias = take("bias", 1, "(F,)");
    if (options.warn) {
        for (const std::string &name : found) {
            if (!wanted.contains(name))
                options.warn(fmt::format("{}: {} is no weight and was not read", file.string(), io::in_quotes(name)));
        }
    }
    return weights;
}

Weights StoredWeights::view() const {
    Weights weights;
    weights.depthwise_kernel = depthwise_kernel.values.data();
    weights.depthwise_shape = shape4(depthwise_kernel, "depthwise_kernel");
    weights.pointwise_kernel = pointwise_kernel.values.data();
    weights.pointwise_shape = shape4(pointwise_kernel, "pointwise_kernel");
    if (!bias.values.empty()) {
        weights.bias = bias.values.data();
        weights.bias_size = static_cast<std::int64_t>(bias.values.size());
    }
    return weights;
}

}  // namespace sepconv
