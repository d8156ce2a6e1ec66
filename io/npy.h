// One array in NumPy's .npy format, from any source of bytes. Shared by the readers of .npy and .npz.
#pragma once

#include "bytes.h"
#include "sepconv/io.h"

namespace sepconv::io {

/// Reads one array, and leaves the source behind its last byte.
/// @throws FileError
Array read_npy(const ByteSource &source, Allowance &allowance, const std::function<void(const std::string &)> &warn);
Float16Array read_npy_float16(const ByteSource &source, Allowance &allowance, const std::function<void(const std::string &)> &warn);

}  // namespace sepconv::io
