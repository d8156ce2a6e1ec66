// Blurs a small colour picture and turns it grey, both in one SeparableConv2D: the depthwise step averages 3×3 pixels, the pointwise
// step weighs red, green and blue.
#include <cstdio>
#include <vector>

#include "sepconv/sepconv.h"

int main() try {
    constexpr int height = 6, width = 8, channels = 3;
    const std::vector<float> average(3 * 3 * channels, 1.0F / 9), luminance = {0.299F, 0.587F, 0.114F};

    const sepconv::LayerConfig config = sepconv::parse_config(R"({
        "filters": 1, "kernel_size": 3, "padding": "same", "data_format": "channels_last", "activation": "relu", "use_bias": false})");
    sepconv::Weights weights;
    weights.depthwise_kernel = average.data();
    weights.depthwise_shape = {3, 3, channels, 1};
    weights.pointwise_kernel = luminance.data();
    weights.pointwise_shape = {1, 1, channels, 1};
    const sepconv::Layer layer(config, weights);  // once; it keeps what it needs

    std::vector<float> picture(height * width * channels, 0.0F);  // black, with a red pixel in the middle
    picture[(3 * width + 4) * channels] = 9;
    std::vector<float> grey(height * width);
    layer.run({picture.data(), {1, height, width, channels}}, {grey.data(), {1, height, width, 1}});

    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) std::printf("%6.3f", grey[y * width + x]);
        std::printf("\n");
    }
    return 0;
} catch (const sepconv::Error &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
