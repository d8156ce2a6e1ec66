// Bytes in the order in which a file or a zip member gives them, and the limit on what may be made from them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace sepconv::io {

/// Where a reader takes its bytes from.
struct ByteSource {
    /// Reads up to `count` bytes; fewer than asked for only at the end. Throws FileError where the medium fails.
    std::function<std::size_t(char *to, std::size_t count)> read;
    /// How many bytes there are in all, where that is known beforehand.
    std::optional<std::uint64_t> size;
    /// The file (and the member in it), for messages.
    std::string name;
};

/// What is left of ReadOptions::max_bytes while one file is read.
class Allowance {
public:
    explicit Allowance(std::uint64_t bytes) : left_(bytes) {}
    /// Takes a part, before the memory is asked for.
    /// @throws FileError  where less is left.
    void take(std::uint64_t bytes, const std::string &name);

private:
    std::uint64_t left_;
};

/// The elements of a shape.
/// @throws FileError  where an extent is negative, or the product times 4 bytes leaves 63 bits.
std::uint64_t element_count(const std::vector<std::int64_t> &shape, const std::string &name);

/// Reserves memory for `count` values.
/// @throws FileError  where the machine has not that much.
template <typename T>
void reserve(std::vector<T> &values, std::uint64_t count, const std::string &name);

/// Widens bfloat16, the upper half of a float.
float from_bfloat16(std::uint16_t bits);

}  // namespace sepconv::io
