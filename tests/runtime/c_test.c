/* A layer from config to output in plain C99, for c_api_test.cpp to call: what compiles here is what a C program can use. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sepconv/c.h"

/* The sum of each 3x3 window, doubled, plus 1. */
static const char doubled_sums[] = "{\"filters\": 1, \"kernel_size\": 3, \"data_format\": \"channels_last\"}";
static const float ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
static const float two = 2;
static const float one = 1;

static int two_at_a_time(void *user) {
    (void)user;
    return 2;
}

static void in_reverse(void *user, int count, void (*task)(void *context, int index), void *context) {
    int i;
    (void)user;
    for (i = count - 1; i >= 0; --i) task(context, i);
}

/* Runs the layer on the 4x4 corner of a 4x6 image, once as it comes and once on an executor in C. results: 2 x 4 values. */
sepconv_status c_runs_a_layer(float results[8]) {
    sepconv_config *config = NULL;
    sepconv_layer *layer = NULL;
    float image[24];
    sepconv_weights weights;
    sepconv_const_tensor input;
    sepconv_tensor output = {NULL, {1, 2, 2, 1}, {0, 0, 0, 0}};
    sepconv_executor executor;
    sepconv_execution execution = {0, NULL};
    sepconv_status status;
    int i;

    for (i = 0; i < 24; ++i) image[i] = (float)i;
    memset(&weights, 0, sizeof weights);
    weights.depthwise_kernel = ones;
    weights.depthwise_shape[0] = weights.depthwise_shape[1] = 3;
    weights.depthwise_shape[2] = weights.depthwise_shape[3] = 1;
    weights.pointwise_kernel = &two;
    weights.pointwise_shape[0] = weights.pointwise_shape[1] = weights.pointwise_shape[2] = weights.pointwise_shape[3] = 1;
    weights.bias = &one;
    weights.bias_size = 1;
    memset(&input, 0, sizeof input);
    input.data = image;
    input.shape[0] = input.shape[3] = 1;
    input.shape[1] = input.shape[2] = 4;
    input.strides[0] = 24;
    input.strides[1] = 6;
    input.strides[2] = input.strides[3] = 1;
    executor.user = NULL;
    executor.concurrency = two_at_a_time;
    executor.parallel_for = in_reverse;

    status = sepconv_config_parse(doubled_sums, strlen(doubled_sums), NULL, &config);
    if (status == SEPCONV_OK) status = sepconv_layer_create(config, &weights, NULL, &layer);
    output.data = results;
    if (status == SEPCONV_OK) status = sepconv_layer_run(layer, &input, &output, NULL);
    execution.executor = &executor;
    output.data = results + 4;
    if (status == SEPCONV_OK) status = sepconv_layer_run(layer, &input, &output, &execution);
    sepconv_layer_free(layer);
    sepconv_config_free(config);
    return status;
}
