// libFuzzer target: any bytes are a good HDF5 model or a good .weights.h5, or one error.
#include <string_view>

#include "bytes_as_file.h"
#include "read_model.h"

namespace {

// The model whose weights an input is read as.
constexpr std::string_view config = R"({"class_name": "Sequential", "config": {"layers": [{"class_name": "SeparableConv2D",
    "config": {"name": "a", "filters": 2, "kernel_size": 1}}]}})";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    // Other forms have targets of their own; -1 keeps such inputs out of the corpus.
    constexpr std::string_view signature = "\x89HDF\r\n\x1a\n";
    if (!std::string_view(reinterpret_cast<const char *>(bytes), size).starts_with(signature)) return -1;
    const sepconv::BytesAsFile file(bytes, size);
    const sepconv::BytesAsFile json(reinterpret_cast<const std::uint8_t *>(config.data()), config.size());
    sepconv::read_model(file.path());
    sepconv::read_model(json.path(), file.path());
    return 0;
}
