/* The picture of blur.cpp through the C interface: blurred and turned grey by one SeparableConv2D. */
#include <stdio.h>
#include <string.h>

#include "sepconv/c.h"

enum { height = 6, width = 8, channels = 3 };

static const char json[] =
    "{\"filters\": 1, \"kernel_size\": 3, \"padding\": \"same\", \"data_format\": \"channels_last\", \"activation\": \"relu\", "
    "\"use_bias\": false}";

int main(void) {
    static float average[3 * 3 * channels], picture[height * width * channels], grey[height * width];
    const float luminance[channels] = {0.299F, 0.587F, 0.114F};
    const sepconv_weights weights = {average, {3, 3, channels, 1}, luminance, {1, 1, channels, 1}, NULL, 0};
    const sepconv_const_tensor input = {picture, {1, height, width, channels}, {0}};
    const sepconv_tensor output = {grey, {1, height, width, 1}, {0}};
    sepconv_config *config = NULL;
    sepconv_layer *layer = NULL;

    for (int i = 0; i < 3 * 3 * channels; i++) average[i] = 1.0F / 9;
    picture[(3 * width + 4) * channels] = 9; /* black, with a red pixel in the middle */

    int failed = sepconv_config_parse(json, strlen(json), NULL, &config) != SEPCONV_OK ||
                 sepconv_layer_create(config, &weights, NULL, &layer) != SEPCONV_OK ||
                 sepconv_layer_run(layer, &input, &output, NULL) != SEPCONV_OK;
    if (failed) fprintf(stderr, "%s\n", sepconv_last_error());
    for (int y = 0; y < height && !failed; y++) {
        for (int x = 0; x < width; x++) printf("%6.3f", grey[y * width + x]);
        printf("\n");
    }
    sepconv_layer_free(layer);
    sepconv_config_free(config);
    return failed;
}
