// Gives the bytes of a fuzzing input a path, without a disk: the readers' public functions take paths.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace sepconv {

class BytesAsFile {
public:
    BytesAsFile(const std::uint8_t *bytes, std::size_t size) : descriptor_(memfd_create("input", 0)) {
        // Without a file there is nothing to test; libFuzzer reports the abort.
        if (descriptor_ < 0 || write(descriptor_, bytes, size) != static_cast<ssize_t>(size)) std::abort();
    }
    ~BytesAsFile() { close(descriptor_); }
    BytesAsFile(const BytesAsFile &) = delete;
    BytesAsFile &operator=(const BytesAsFile &) = delete;

    std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

private:
    int descriptor_;
};

}  // namespace sepconv
