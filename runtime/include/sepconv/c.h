/* The C interface of sepconv: the same layers, shapes, targets and explanations as the C++ one, for C99 and for every language that calls
 * C. Model files are read by the C++ library sepconv::io; here a layer comes from its config and weights.
 *
 *     sepconv_config *config;
 *     sepconv_layer *layer;
 *     sepconv_weights weights = {depthwise, {3, 3, 8, 1}, pointwise, {1, 1, 8, 16}, bias, 16};
 *     sepconv_const_tensor input = {pixels, {1, 60, 60, 8}, {0}};
 *     sepconv_tensor output = {result, {1, 60, 60, 16}, {0}};
 *
 *     if (sepconv_config_parse(json, strlen(json), NULL, &config) != SEPCONV_OK) goto failed;
 *     if (sepconv_layer_create(config, &weights, NULL, &layer) != SEPCONV_OK) goto failed;
 *     if (sepconv_layer_run(layer, &input, &output, NULL) != SEPCONV_OK) goto failed;
 *     ...
 *     failed: fprintf(stderr, "%s\n", sepconv_last_error());
 *
 * Every function that can fail returns a sepconv_status; no C++ exception leaves the library, and it never prints or ends the process.
 * Where a call fails, what its last parameter points to is left as it was, but a handle is set to NULL.
 * Configs and layers are immutable: any number of threads may use one at once, and each is freed once, by the function named for it.
 * Structures may be filled with zeros first: a zero always means the default. */
#ifndef SEPCONV_C_H
#define SEPCONV_C_H

#include <stddef.h>
#include <stdint.h>

#include "sepconv/export.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sepconv_status {
    SEPCONV_OK = 0,
    SEPCONV_CONFIG_ERROR = 1,    /* the config, or a name or value in it, is wrong */
    SEPCONV_SHAPE_ERROR = 2,     /* a shape or stride does not fit the layer, or exceeds what can be addressed */
    SEPCONV_FILE_ERROR = 3,      /* a file cannot be read */
    SEPCONV_TARGET_ERROR = 4,    /* the instruction set is unknown or is not to be had on this machine */
    SEPCONV_EXECUTION_ERROR = 5, /* a pipeline reported a failure while it ran */
    SEPCONV_ARGUMENT_ERROR = 6,  /* an argument of the call itself is wrong: a null pointer, a number outside an enumeration */
    SEPCONV_MEMORY_ERROR = 7,    /* memory ran out */
    SEPCONV_INTERNAL_ERROR = 8   /* anything else; a defect of the library */
} sepconv_status;

/* What the last call that failed on this thread has to say: what was expected and what was found. Empty before the first failure. Valid
 * until the next call that fails on this thread; never NULL. */
SEPCONV_EXPORT const char *sepconv_last_error(void);

/* The arguments of a tf.keras.layers.SeparableConv2D, validated, with its defaults resolved. */
typedef struct sepconv_config sepconv_config;

/* One of SEPCONV_VALID and SEPCONV_SAME. A number, so that a wrong one can be told from a right one. */
typedef int sepconv_padding;
enum { SEPCONV_VALID = 0, SEPCONV_SAME = 1 };

typedef int sepconv_data_format;
enum {
    SEPCONV_DEFAULT_DATA_FORMAT = 0, /* as keras.json says; only sepconv_parse_options has it */
    SEPCONV_CHANNELS_LAST = 1,       /* (N, H, W, C) */
    SEPCONV_CHANNELS_FIRST = 2       /* (N, C, H, W) */
};

/* The type of a layer's input, weights and output: SEPCONV_FLOAT16 for Keras' float16 and mixed_float16. */
typedef int sepconv_dtype;
enum { SEPCONV_FLOAT32 = 0, SEPCONV_FLOAT16 = 1 };

/* Which Keras wrote a config. It decides what hard_sigmoid means and which keys a serialised layer object uses. */
typedef int sepconv_keras_version;
enum { SEPCONV_KERAS_3 = 0, SEPCONV_KERAS_2 = 2 };

typedef struct sepconv_parse_options {
    const char *source; /* named in front of every message, for example the file's name; or NULL */
    sepconv_keras_version version;
    sepconv_data_format data_format;               /* for a config that names none */
    void (*warn)(void *user, const char *message); /* receives remarks that are no errors; or NULL. It must not throw. */
    void *user;                                    /* handed to warn */
} sepconv_parse_options;

/* Reads `length` bytes of what layer.get_config() returns, as JSON. An argument that the layer does not have is an error.
 * options: NULL for the defaults. *config: to be freed with sepconv_config_free. */
SEPCONV_EXPORT sepconv_status sepconv_config_parse(const char *json, size_t length, const sepconv_parse_options *options,
                                                   sepconv_config **config);

/* Frees a config. Layers made from it stay. NULL is allowed. */
SEPCONV_EXPORT void sepconv_config_free(sepconv_config *config);

/* The arguments of a config that shapes and types depend on. Pairs are in the order height, width. */
typedef struct sepconv_arguments {
    int64_t filters;
    int64_t kernel_size[2];
    int64_t strides[2];
    int64_t dilation_rate[2];
    int64_t depth_multiplier;
    sepconv_padding padding;
    sepconv_data_format data_format;
    int use_bias;
    int trainable;
    sepconv_dtype dtype;
} sepconv_arguments;

SEPCONV_EXPORT sepconv_status sepconv_config_arguments(const sepconv_config *config, sepconv_arguments *arguments);

/* The layer's name in UTF-8, valid while the config lives. */
SEPCONV_EXPORT sepconv_status sepconv_config_name(const sepconv_config *config, const char **name);

/* The whole config as JSON that Keras 3 and sepconv_config_parse read back to the same layer.
 *
 * As all texts that are made for the caller, it goes to a buffer of `capacity` bytes, cut to fit where it is too small, and always ended
 * by a NUL where capacity is not 0. *length becomes the length of the whole text without its NUL, so that capacity 0 (and a NULL buffer)
 * asks how much is needed; the text was cut where *length >= capacity. length may be NULL. */
SEPCONV_EXPORT sepconv_status sepconv_config_json(const sepconv_config *config, char *buffer, size_t capacity, size_t *length);

/* The shape of the layer's output for an input shape, both in the order of the config's data_format. A batch of 0 is legal. */
SEPCONV_EXPORT sepconv_status sepconv_config_output_shape(const sepconv_config *config, const int64_t input[4], int64_t output[4]);

/* image_data_format of keras.json in $KERAS_HOME, else of ~/.keras/keras.json; SEPCONV_CHANNELS_LAST where there is none.
 * warn may be NULL. */
SEPCONV_EXPORT sepconv_status sepconv_default_data_format(void (*warn)(void *user, const char *message), void *user,
                                                          sepconv_data_format *format);

/* Keras' padding rule for one dimension: how many windows fit (0 where none does), and how many zeros stand before the input. */
SEPCONV_EXPORT sepconv_status sepconv_fit_window(int64_t input, int64_t kernel, int64_t stride, int64_t dilation, sepconv_padding padding,
                                                 int64_t *output, int64_t *before);

/* One depthwise-separable convolution with its weights packed, ready to run on any image. */
typedef struct sepconv_layer sepconv_layer;

/* A layer's weights in Keras' own order and layout, whatever the data format. Dense; read once and not kept. */
typedef struct sepconv_weights {
    const float *depthwise_kernel;
    int64_t depthwise_shape[4]; /* (kh, kw, C, M) */
    const float *pointwise_kernel;
    int64_t pointwise_shape[4]; /* (1, 1, C * M, F) */
    const float *bias;          /* NULL where use_bias is false */
    int64_t bias_size;          /* F, or 0 where use_bias is false */
} sepconv_weights;

/* Checks the weights against the config and packs them for one instruction set.
 * target: one of sepconv_targets: "avx512", "avx2", "sse41", on ARM "neon"; or of sepconv_gpus: "cuda", "opencl", "vulkan"; or NULL:
 * $SEPCONV_TARGET where it is set, else the best that this CPU runs.
 * *layer: to be freed with sepconv_layer_free. It keeps nothing of config and weights. */
SEPCONV_EXPORT sepconv_status sepconv_layer_create(const sepconv_config *config, const sepconv_weights *weights, const char *target,
                                                   sepconv_layer **layer);

/* The same with a choice for a config of dtype float16: what products and sums are computed in. SEPCONV_FLOAT32, which
 * sepconv_layer_create takes, rounds each result once. SEPCONV_FLOAT16 computes twice as much at once and rounds each sum, on targets of
 * that arithmetic: on ARM "neon_fp16". */
SEPCONV_EXPORT sepconv_status sepconv_layer_create_as(const sepconv_config *config, const sepconv_weights *weights, const char *target,
                                                      sepconv_dtype arithmetic, sepconv_layer **layer);

/* Another handle to the same packed weights, freed on its own. */
SEPCONV_EXPORT sepconv_status sepconv_layer_copy(const sepconv_layer *layer, sepconv_layer **copy);

/* Frees a layer; none of its runs may be under way. NULL is allowed. */
SEPCONV_EXPORT void sepconv_layer_free(sepconv_layer *layer);

/* A copy of the layer's config, to be freed with sepconv_config_free. */
SEPCONV_EXPORT sepconv_status sepconv_layer_config(const sepconv_layer *layer, sepconv_config **config);

/* Channels of the input, C. */
SEPCONV_EXPORT sepconv_status sepconv_layer_input_channels(const sepconv_layer *layer, int64_t *channels);

/* The name of the instruction set that the weights are packed for, valid while the layer lives. */
SEPCONV_EXPORT sepconv_status sepconv_layer_target(const sepconv_layer *layer, const char **target);

/* As sepconv_config_output_shape, the input's channels checked against the weights too. */
SEPCONV_EXPORT sepconv_status sepconv_layer_output_shape(const sepconv_layer *layer, const int64_t input[4], int64_t output[4]);

/* A tensor in the caller's memory, in the order of the layer's data_format: (N, H, W, C) or (N, C, H, W). Strides count elements, not
 * bytes; the innermost must be 1, the others are free, so that a crop, a row-padded image or a slice of channels needs no copy.
 * Four strides of 0 mean a dense tensor. */
typedef struct sepconv_tensor {
    float *data;
    int64_t shape[4];
    int64_t strides[4];
} sepconv_tensor;

/* The same for a tensor that is only read. */
typedef struct sepconv_const_tensor {
    const float *data;
    int64_t shape[4];
    int64_t strides[4];
} sepconv_const_tensor;

/* Both for a layer of dtype float16: IEEE 754's binary16, as the bits of each number. */
typedef struct sepconv_float16_tensor {
    uint16_t *data;
    int64_t shape[4];
    int64_t strides[4];
} sepconv_float16_tensor;
typedef struct sepconv_const_float16_tensor {
    const uint16_t *data;
    int64_t shape[4];
    int64_t strides[4];
} sepconv_const_float16_tensor;

/* The caller's own threads, lent to a run. */
typedef struct sepconv_executor {
    void *user; /* handed to both functions */
    /* How many tasks can usefully run at once; at least 1. */
    int (*concurrency)(void *user);
    /* Calls task(context, i) once for every i in [0, count), in any order and on any threads, and returns when all have returned. */
    void (*parallel_for)(void *user, int count, void (*task)(void *context, int index), void *context);
} sepconv_executor;

/* How a run is carried out. The result does not depend on it, bit for bit. */
typedef struct sepconv_execution {
    int threads;                      /* of the library's own pool, the calling thread included; 0: as many as the machine has */
    const sepconv_executor *executor; /* runs the tasks instead of the library's own pool; or NULL */
} sepconv_execution;

/* output = activation(pointwise(depthwise(input)) + bias)
 *
 * input: not modified. output: shaped as sepconv_layer_output_shape says; it must not overlap the input. execution: NULL for the defaults.
 * Where a shape or stride does not fit, the output is untouched. Thread-safe on one layer. Allocates only on a thread's first call with a
 * shape. Bitwise the same for every thread count. */
SEPCONV_EXPORT sepconv_status sepconv_layer_run(const sepconv_layer *layer, const sepconv_const_tensor *input, const sepconv_tensor *output,
                                                const sepconv_execution *execution);

/* The same for a layer of dtype float16. Tensors of the other type are a SEPCONV_SHAPE_ERROR. */
SEPCONV_EXPORT sepconv_status sepconv_layer_run_float16(const sepconv_layer *layer, const sepconv_const_float16_tensor *input,
                                                        const sepconv_float16_tensor *output, const sepconv_execution *execution);

/* Enqueues a layer whose target is "cuda" on a stream (a CUstream or cudaStream_t; NULL: the context's default stream), on tensors whose
 * `data` is memory of the device, a CUdeviceptr: nothing is copied and nothing is waited for. The context is the calling thread's current
 * one, or where it has none the primary context of device 0. The weights are copied there when it runs the layer for the first time. */
SEPCONV_EXPORT sepconv_status sepconv_layer_enqueue(const sepconv_layer *layer, const sepconv_const_tensor *input,
                                                    const sepconv_tensor *output, void *stream);

/* The same for a layer of dtype float16. */
SEPCONV_EXPORT sepconv_status sepconv_layer_enqueue_float16(const sepconv_layer *layer, const sepconv_const_float16_tensor *input,
                                                            const sepconv_float16_tensor *output, void *stream);

/* Which functions an input shape takes on the layer's target, the tile and the split, and why: lines of text, or JSON where json is not 0.
 * The buffer is filled as sepconv_config_json fills it. */
SEPCONV_EXPORT sepconv_status sepconv_layer_explain(const sepconv_layer *layer, const int64_t input[4], int json, char *buffer,
                                                    size_t capacity, size_t *length);

/* One instruction set that pipelines were built for. */
typedef struct sepconv_target {
    const char *name;         /* "avx512", "avx2", "sse41", "neon", "neon_fp16" */
    const char *halide;       /* Halide's name for it */
    int runs_here;            /* whether this CPU and operating system can run it */
    sepconv_dtype arithmetic; /* SEPCONV_FLOAT16: for layers of that arithmetic, and only for these */
} sepconv_target;

/* The instruction sets built in, best first: an array that belongs to the library and stays as long as it is loaded. */
SEPCONV_EXPORT sepconv_status sepconv_targets(const sepconv_target **targets, size_t *count);

/* The one that a layer takes where none is named: $SEPCONV_TARGET, else the first that runs here. Stays as long as the library is loaded.
 */
SEPCONV_EXPORT sepconv_status sepconv_default_target(const char **target);

/* A target that needs a GPU, as functions are built in for it. A layer takes one only where it is named. */
typedef struct sepconv_gpu {
    const char *target;  /* "cuda", "opencl", "vulkan" */
    const char *device;  /* the name of the one that would be taken; "" where there is none */
    const char *why_not; /* why none of its functions runs here; "" where they do */
} sepconv_gpu;

/* The GPU targets built in: an array that belongs to the library and stays as long as it is loaded. */
SEPCONV_EXPORT sepconv_status sepconv_gpus(const sepconv_gpu **gpus, size_t *count);

/* One precompiled function. */
typedef struct sepconv_pipeline {
    const char *name;
    const char *stage;  /* "padded", "depthwise", "pointwise", "activated", "copied", "transposed", "gpu_layer", "gpu_finish", "gpu_axes" */
    const char *target; /* the name of a sepconv_target or sepconv_gpu */
    const char *covers; /* in words: layout, kernel, stride and dilation class, lanes */
} sepconv_pipeline;

/* Every precompiled function: an array that belongs to the library and stays as long as it is loaded. */
SEPCONV_EXPORT sepconv_status sepconv_pipelines(const sepconv_pipeline **pipelines, size_t *count);

/* The library's version, "major.minor.patch". Stays as long as the library is loaded. */
SEPCONV_EXPORT sepconv_status sepconv_version(const char **version);

#ifdef __cplusplus
}
#endif

#endif
