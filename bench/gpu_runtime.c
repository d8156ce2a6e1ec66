/* For the libraries that bench/gpu makes of Halide's pipelines: its runtime works in the caller's CUDA context and on the caller's stream,
 * takes the driver where there is no more than the driver, and keeps an error for the caller. These replace the runtime's own functions,
 * which are weak. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

static void *context, *stream;
static char error[1024];

void sepconv_bench_enter(void *of_context, void *of_stream) {
    context = of_context;
    stream = of_stream;
    error[0] = 0;
}

const char *sepconv_bench_error(void) { return error; }

int halide_cuda_acquire_context(void *user_context, void **found, bool create) {
    (void)user_context, (void)create;
    *found = context;
    return 0;
}

int halide_cuda_release_context(void *user_context) {
    (void)user_context;
    return 0;
}

int halide_cuda_get_stream(void *user_context, void *of_context, void **found) {
    (void)user_context, (void)of_context;
    *found = stream;
    return 0;
}

void *halide_cuda_get_symbol(void *user_context, const char *name) {
    (void)user_context;
    static void *driver;
    if (driver == NULL) driver = dlopen("libcuda.so.1", RTLD_LAZY);
    return driver == NULL ? NULL : dlsym(driver, name);
}

void halide_error(void *user_context, const char *message) {
    (void)user_context;
    snprintf(error, sizeof(error), "%s", message);
}
