// libFuzzer target: any bytes are a good .npy file or a FileError.
#include <stdexcept>

#include "bytes_as_file.h"
#include "sepconv/io.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    const sepconv::BytesAsFile file(bytes, size);
    sepconv::ReadOptions options;
    options.max_bytes = 1 << 24;
    try {
        const sepconv::Array array = sepconv::read_npy(file.path(), options);
        std::uint64_t count = 1;
        for (const std::int64_t extent : array.shape) count *= static_cast<std::uint64_t>(extent);
        if (count != array.values.size()) throw std::logic_error("the shape and the values do not agree");
    } catch (const sepconv::FileError &) {
        return 0;
    }
    return 0;
}
