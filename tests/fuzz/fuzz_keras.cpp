// libFuzzer target: any bytes are a good .keras file, or one error.
#include "bytes_as_file.h"
#include "read_model.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    const sepconv::BytesAsFile file(bytes, size);
    sepconv::read_model(file.path());
    return 0;
}
