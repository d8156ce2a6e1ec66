// libFuzzer target: any bytes are a good .npz file or a FileError, read as a whole and as a layer's weights.
#include "bytes_as_file.h"
#include "sepconv/io.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    const sepconv::BytesAsFile file(bytes, size);
    sepconv::ReadOptions options;
    options.max_bytes = 1 << 24;
    try {
        sepconv::read_npz(file.path(), options);
        sepconv::read_weights_npz(file.path(), options).view();
    } catch (const sepconv::FileError &) {
        return 0;
    }
    return 0;
}
