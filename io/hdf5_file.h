// Reading an HDF5 file through libhdf5's C API: attributes that hold strings, and datasets that hold floats. Nothing here knows Keras.
//
// Only what lies inside the file itself is read: links that leave their group, external storage, virtual datasets and filters that
// would load a plugin are errors. Objects are named by their path from the root, "model_weights/conv_3".
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bytes.h"
#include "sepconv/io.h"

namespace sepconv::io {

class Hdf5File {
public:
    /// @throws FileError
    explicit Hdf5File(const std::filesystem::path &file);
    /// A file whose bytes are in memory. `name` stands for it in messages.
    Hdf5File(std::string image, std::string name);
    ~Hdf5File();
    Hdf5File(Hdf5File &&) noexcept;
    Hdf5File &operator=(Hdf5File &&) noexcept;

    /// Whether the bytes at the start of a file can be HDF5's.
    static bool begins(std::string_view start);

    const std::string &name() const;

    bool has_group(const std::string &path) const;
    bool has_dataset(const std::string &path) const;
    /// The names in a group, in alphabetical order.
    std::vector<std::string> members(const std::string &path) const;

    /// The strings in an attribute: one for a scalar, none for an empty array of any type. Nothing where there is no such attribute.
    std::optional<std::vector<std::string>> strings(const std::string &path, const std::string &attribute) const;

    /// The extents of a dataset.
    std::vector<std::int64_t> shape(const std::string &path) const;
    /// The values of a dataset of float16, bfloat16, float32 or float64.
    /// @param dtype  of the layer that they are for: float16 is remarked upon for one of float32 only
    Array read(const std::string &path, Allowance &allowance, const std::function<void(const std::string &)> &warn,
               Dtype dtype = Dtype::float32) const;

private:
    struct Opened;
    std::unique_ptr<Opened> opened_;
};

}  // namespace sepconv::io
