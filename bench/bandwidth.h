// The machine's other limit: bytes a second from a cache level or from memory.
#pragma once

#include <cstddef>

namespace sepconv::bench {

/// Bytes read per nanosecond by one thread that reads a block again and again, the best of what fits `seconds`.
double read_bandwidth(std::size_t bytes, double seconds);

/// Bytes read and written per nanosecond by one thread that copies one half of a block to the other.
double copy_bandwidth(std::size_t bytes, double seconds);

/// Half of this CPU's second-level cache, and some times its last level: blocks for the functions above.
std::size_t bytes_in_l2();
std::size_t bytes_beyond_caches();

}  // namespace sepconv::bench
