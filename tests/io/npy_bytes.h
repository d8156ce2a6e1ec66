// Makes .npy files byte by byte, so that the tests do not rest on the writer that they test.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace sepconv {

inline std::string npy_bytes(const std::string &header, const std::string &values, int version = 1) {
    std::string bytes = "\x93NUMPY";
    bytes += static_cast<char>(version);
    bytes += '\0';
    for (int i = 0; i < (version == 1 ? 2 : 4); ++i) bytes += static_cast<char>(header.size() >> (8 * i) & 0xff);
    return bytes + header + values;
}

inline std::string npy_header(const std::string &descr, const std::string &shape, bool fortran_order = false) {
    return "{'descr': '" + descr + "', 'fortran_order': " + (fortran_order ? "True" : "False") + ", 'shape': " + shape + ", }\n";
}

/// The elements' bytes, least significant first; big-endian: last.
template <typename T>
std::string raw(const std::vector<T> &values, bool big_endian = false) {
    std::string bytes(values.size() * sizeof(T), '\0');
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::memcpy(bytes.data() + i * sizeof(T), &values[i], sizeof(T));
        if (big_endian) std::reverse(bytes.begin() + i * sizeof(T), bytes.begin() + (i + 1) * sizeof(T));
    }
    return bytes;
}

/// Zeros shaped (2, 3): a good file of 24 bytes of values.
inline std::string good_npy() { return npy_bytes(npy_header("<f4", "(2, 3)"), std::string(24, '\0')); }

}  // namespace sepconv
