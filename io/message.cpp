// Turns what was found in a file into text for an error message.
#include "message.h"

#include <fmt/format.h>

#include <algorithm>

namespace sepconv::io {

namespace {

// Messages stay on one screen, whatever a file holds.
constexpr std::size_t longest_text = 60;
constexpr std::size_t most_names = 24;

std::string printable(std::string_view text, std::size_t longest) {
    std::string shown;
    for (const char c : text.substr(0, longest)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte < 0x7f) {
            shown += c;
        } else {
            shown += fmt::format("\\x{:02x}", byte);
        }
    }
    if (text.size() > longest) shown += "...";
    return shown;
}

}  // namespace

std::string in_quotes(std::string_view text) { return fmt::format("'{}'", printable(text, longest_text)); }

std::string shape_text(const std::vector<std::int64_t> &shape) {
    if (shape.size() == 1) return fmt::format("({},)", shape[0]);
    return fmt::format("({})", fmt::join(shape, ", "));
}

std::string listed(const std::vector<std::string> &names) {
    if (names.empty()) return "nothing";
    std::vector<std::string> shown;
    for (std::size_t i = 0; i < std::min(names.size(), most_names); ++i) shown.push_back(printable(names[i], longest_text));
    std::string text = fmt::format("{}", fmt::join(shown, ", "));
    if (names.size() > most_names) text += fmt::format(" and {} more", names.size() - most_names);
    return text;
}

}  // namespace sepconv::io
