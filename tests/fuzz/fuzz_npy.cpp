// libFuzzer target: any bytes are a good .npy file or a FileError, for either type that they are read as.
#include <stdexcept>

#include "bytes_as_file.h"
#include "sepconv/io.h"

namespace {

template <typename Stored>
void check_count(const Stored &array) {
    std::uint64_t count = 1;
    for (const std::int64_t extent : array.shape) count *= static_cast<std::uint64_t>(extent);
    if (count != array.values.size()) throw std::logic_error("the shape and the values do not agree");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    const sepconv::BytesAsFile file(bytes, size);
    sepconv::ReadOptions options;
    options.max_bytes = 1 << 24;
    try {
        // What is good as float32 is good as float16, which takes less memory.
        check_count(sepconv::read_npy_float16(file.path(), options));
        check_count(sepconv::read_npy(file.path(), options));
    } catch (const sepconv::FileError &) {
        return 0;
    }
    return 0;
}
