#include "layer_table.h"

#include <limits>
#include <random>
#include <string>

#include "layers.h"

namespace sepconv::bench {

ShapedLayer table_layer(const nlohmann::json &row) {
    const auto number = [&](const char *field) { return row.at(field).get<std::int64_t>(); };
    ShapedLayer layer;
    LayerConfig &config = layer.config;
    config.name = row.at("name").get<std::string>();
    config.filters = number("f");
    config.kernel_size = {number("k"), number("k")};
    config.strides = {number("s"), number("s")};
    config.dilation_rate = {number("d"), number("d")};
    config.depth_multiplier = number("m");
    config.padding = Padding::same;
    const bool channels_first = row.value("data_format", "channels_last") == "channels_first";
    config.data_format = channels_first ? DataFormat::channels_first : DataFormat::channels_last;
    config.activation = default_activation(ActivationKind::relu);
    const std::int64_t batch = row.value("n", std::int64_t(1));
    layer.input =
        channels_first ? Shape{batch, number("c"), number("h"), number("w")} : Shape{batch, number("h"), number("w"), number("c")};
    return layer;
}

const nlohmann::json &built_in_layers() {
    static const nlohmann::json rows = nlohmann::json::parse(layers_json);
    return rows;
}

std::int64_t elements(const Shape &shape) { return shape[0] * shape[1] * shape[2] * shape[3]; }

std::int64_t channels(const ShapedLayer &layer) { return layer.input[layer.config.data_format == DataFormat::channels_first ? 1 : 3]; }

double operations(const ShapedLayer &layer) {
    const LayerConfig &config = layer.config;
    const Shape output = output_shape(config, layer.input);
    // The shape's own channels may be half of the filters, with glu.
    const bool channels_first = config.data_format == DataFormat::channels_first;
    const std::int64_t pixels = output[0] * output[channels_first ? 2 : 1] * output[channels_first ? 3 : 2];
    const double per_pixel = static_cast<double>(channels(layer) * config.depth_multiplier) *
                             static_cast<double>(config.kernel_size[0] * config.kernel_size[1] + config.filters);
    return 2.0 * static_cast<double>(pixels) * per_pixel;
}

Values random_values(std::int64_t count) {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-1, 1);
    Values values(static_cast<std::size_t>(count));
    for (float &value : values) value = uniform(random);
    return values;
}

}  // namespace sepconv::bench
