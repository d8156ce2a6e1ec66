// Reading layers, weights and tensors from files: npy, npz, Keras 2 HDF5, Keras 3 .keras and .h5. The library sepconv::io.
//
// A damaged, truncated, oversized or hostile file is a FileError (or a ConfigError, for the config in it) that names the file and
// what is wrong, in memory and time bounded by the limits below.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sepconv/config.h"
#include "sepconv/export.h"
#include "sepconv/float16.h"
#include "sepconv/layer.h"

namespace sepconv {

/// A dense float32 array in C order.
struct Array {
    std::vector<std::int64_t> shape;
    std::vector<float> values;
};

/// A dense float16 array in C order.
struct Float16Array {
    std::vector<std::int64_t> shape;
    std::vector<float16> values;
};

struct ReadOptions {
    /// The most bytes that one array may take in memory, and that all arrays of one file may take together.
    std::uint64_t max_bytes = std::uint64_t(8) << 30;
    /// Receives remarks that are no errors: values that were converted from another type. May be empty.
    std::function<void(const std::string &)> warn;
    /// That of the layer whose weights are read from an npz: float16 in it is then no remark, as it is rounded back to what it was. The
    /// layers of a model file say it themselves.
    Dtype dtype = Dtype::float32;
};

/// Reads a .npy file: float16, float32 or float64 in either byte order, C or Fortran order.
SEPCONV_EXPORT Array read_npy(const std::filesystem::path &file, const ReadOptions &options = {});
/// The same for a layer in half precision: float16 as it is, float32 and float64 rounded to nearest.
SEPCONV_EXPORT Float16Array read_npy_float16(const std::filesystem::path &file, const ReadOptions &options = {});

/// Writes a little-endian C-order .npy file of float32 or float16 under a temporary name and renames it, so that a failure leaves no trace.
SEPCONV_EXPORT void write_npy(const std::filesystem::path &file, const Array &array);
SEPCONV_EXPORT void write_npy(const std::filesystem::path &file, const Float16Array &array);
/// The same, from values that the caller holds.
SEPCONV_EXPORT void write_npy(const std::filesystem::path &file, const std::vector<std::int64_t> &shape, const float *values);
SEPCONV_EXPORT void write_npy(const std::filesystem::path &file, const std::vector<std::int64_t> &shape, const float16 *values);

/// Reads every array of a .npz file (stored or deflated zip), by its name without ".npy".
SEPCONV_EXPORT std::map<std::string, Array> read_npz(const std::filesystem::path &file, const ReadOptions &options = {});

/// A layer's weights in Keras' layout, with storage of their own.
struct StoredWeights {
    Array depthwise_kernel;  ///< (kh, kw, C, M)
    Array pointwise_kernel;  ///< (1, 1, C·M, F)
    Array bias;              ///< (F), or empty

    /// What Layer takes. Valid while this object lives.
    SEPCONV_EXPORT Weights view() const;
};

/// Weights from an npz with the keys depthwise_kernel, pointwise_kernel and, where the layer has one, bias.
SEPCONV_EXPORT StoredWeights read_weights_npz(const std::filesystem::path &file, const ReadOptions &options = {});

/// A config from a file that holds `layer.get_config()` as JSON.
SEPCONV_EXPORT LayerConfig read_config(const std::filesystem::path &file, const ReadOptions &options = {});

/// A SeparableConv2D in a model file.
struct ModelLayer {
    std::string name;  ///< the layer's own name; those of the models and wrappers around it, joined by '/', come first where it is nested
    LayerConfig config;
    /// Input channels as stored, or 0 where the file has no weights for the layer.
    std::int64_t input_channels = 0;
};

/// The shape that a SeparableConv2D inside a model is called with.
struct InferredShape {
    std::string name;  ///< as in ModelLayer
    /// In the order of the layer's data_format, -1 for an extent that the model leaves open. Empty where it is not known.
    std::vector<std::int64_t> shape;
    /// Why it is not known: the layer at which the walk stopped and what it is, or that the layer is called with several shapes.
    /// Empty where it is known.
    std::string reason;
};

/// A Keras model file: Keras 2 HDF5 (.h5, .hdf5), Keras 3 .keras and .h5. Which it is, is read from the content.
class SEPCONV_EXPORT ModelFile {
public:
    /// @param weights  a Keras 3 .weights.h5 for a model whose config stands apart (then `file` is the config as JSON). May be empty.
    explicit ModelFile(const std::filesystem::path &file, const std::filesystem::path &weights = {}, const ReadOptions &options = {});
    ~ModelFile();
    ModelFile(ModelFile &&) noexcept;
    ModelFile &operator=(ModelFile &&) noexcept;

    /// In words, for example "Keras 2 HDF5 (keras_version 2.0.5)".
    const std::string &format() const;
    /// The separable convolutions in the model, in its own order.
    const std::vector<ModelLayer> &layers() const;
    /// The weights of one of them.
    /// @throws FileError  an unknown name lists the known ones.
    StoredWeights weights(const std::string &layer) const;
    /// The config of one of them.
    const LayerConfig &config(const std::string &layer) const;

    /// The input shape of each of layers(), in their order, as it follows from the model's own through the layers before it. A layer
    /// that is not one of Keras' own ends the walk, and those behind it have a reason in place of a shape; but Keras 3 stores the shapes
    /// of a functional model's tensors, and where the model's input is the stored one, the walk goes on with them.
    /// @param model_input  in place of the input shape that the model stores: the batch first, -1 for an open extent. A Sequential that
    ///                     was never built stores none.
    /// @throws ShapeError  where model_input has another number of dimensions than the stored one, or the model has several inputs.
    std::vector<InferredShape> input_shapes(const std::optional<std::vector<std::int64_t>> &model_input = {}) const;

private:
    struct Content;
    std::unique_ptr<Content> content_;
};

}  // namespace sepconv
