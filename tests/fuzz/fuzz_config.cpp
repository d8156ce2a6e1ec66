// libFuzzer target: any text is a config, which then comes back equal from its own JSON and has a shape or a ShapeError, or a ConfigError.
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string_view>

#include "sepconv/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    using namespace sepconv;
    const std::string_view text(reinterpret_cast<const char *>(bytes), size);
    for (const KerasVersion version : {KerasVersion::keras2, KerasVersion::keras3}) {
        const ParseContext context = {.source = "config", .version = version, .data_format = DataFormat::channels_last, .warn = {}};
        LayerConfig config;
        try {
            config = parse_config(text, context);
        } catch (const ConfigError &) {
            continue;
        }
        // Not inside a try: what was read once must be written and read again without an error, whatever the reader's version.
        if (parse_config(to_json(config), context) != config) throw std::logic_error("the config changed on its way through JSON");
        for (const std::int64_t extent : {std::int64_t(1), std::int64_t(64), std::numeric_limits<std::int64_t>::max()}) {
            try {
                const Shape shape = output_shape(config, {0, extent, extent, extent});
                if (shape[1] < 1 || shape[2] < 1 || shape[3] < 1) throw std::logic_error("an extent of the output is not positive");
            } catch (const ShapeError &) {
                continue;
            }
        }
    }
    return 0;
}
