// Pieces of the readers' error messages: bytes, names and shapes that came from a file, made safe and short enough to print.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sepconv::io {

/// The text in single quotes, with everything but printable ASCII escaped, and cut after 60 bytes.
std::string in_quotes(std::string_view text);

/// For example (3, 3, 8, 1); (8,) for one dimension, as Python writes it.
std::string shape_text(const std::vector<std::int64_t> &shape);

/// The first names in a list, separated by commas, and how many more there are; "nothing" where there are none.
std::string listed(const std::vector<std::string> &names);

}  // namespace sepconv::io
