// One array in NumPy's .npy format, from any source of bytes. Shared by the readers of .npy and .npz.
#pragma once

#include "bytes.h"
#include "sepconv/io.h"

namespace sepconv::io {

/// Reads one array, and leaves the source behind its last byte.
/// @param dtype  of the layer that it is for: float16 is remarked upon for one of float32 only
/// @throws FileError
Array read_npy(const ByteSource &source, Allowance &allowance, const std::function<void(const std::string &)> &warn,
               Dtype dtype = Dtype::float32);
Float16Array read_npy_float16(const ByteSource &source, Allowance &allowance, const std::function<void(const std::string &)> &warn);

}  // namespace sepconv::io
