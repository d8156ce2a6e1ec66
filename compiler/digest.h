// SHA-256, by which files and what they are made from are told apart.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace sepconv::compiler {

class Digest {
public:
    Digest();
    ~Digest();
    void add(const void *bytes, std::size_t count);
    /// A text, and that it ends here.
    void add(std::string_view text);
    /// In hexadecimal digits. Ends the digest.
    std::string finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

std::string digest_of(std::string_view bytes);

/// The build IDs of this program and of the shared libraries that it has loaded; for one without an ID a digest of its file. Together
/// they say which compiler this is.
std::string build_identity();

}  // namespace sepconv::compiler
