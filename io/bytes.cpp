// The arithmetic that every reader shares: limits on sizes, and bfloat16.
#include "bytes.h"

#include <fmt/format.h>

#include <bit>
#include <limits>

#include "message.h"
#include "sepconv/error.h"
#include "sepconv/float16.h"

namespace sepconv::io {

void Allowance::take(std::uint64_t bytes, const std::string &name) {
    if (bytes > left_) {
        throw FileError(
            fmt::format("{}: expected at most {} bytes (what is left of ReadOptions::max_bytes), found {}", name, left_, bytes));
    }
    left_ -= bytes;
}

std::uint64_t element_count(const std::vector<std::int64_t> &shape, const std::string &name) {
    bool empty = false;
    for (const std::int64_t extent : shape) {
        if (extent < 0) throw FileError(fmt::format("{}: expected extents of 0 or more, found shape {}", name, shape_text(shape)));
        empty |= extent == 0;
    }
    if (empty) return 0;
    const std::int64_t limit = std::numeric_limits<std::int64_t>::max() / std::int64_t(sizeof(double));
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) {
        if (count > limit / extent) {
            throw FileError(fmt::format("{}: expected a shape that memory can hold, found {}", name, shape_text(shape)));
        }
        count *= extent;
    }
    return static_cast<std::uint64_t>(count);
}

template <typename T>
void reserve(std::vector<T> &values, std::uint64_t count, const std::string &name) {
    try {
        values.reserve(count);
    } catch (const std::exception &) {  // bad_alloc, or length_error for more than a vector can count
        throw FileError(fmt::format("{}: not enough memory for {} values", name, count));
    }
}

template void reserve(std::vector<float> &values, std::uint64_t count, const std::string &name);
template void reserve(std::vector<float16> &values, std::uint64_t count, const std::string &name);

float from_bfloat16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t(bits) << 16); }

}  // namespace sepconv::io
