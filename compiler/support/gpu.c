/* What a layer on a GPU does with errors. Halide's runtime reports them to one handler, which ends the program unless another one is set.
 * While any thread is in a layer the handler is one that does nothing, so that the layer can return the error's code; afterwards it is
 * again the one that the program had. */
#include "support.h"

typedef void (*error_handler)(void *user_context, const char *message);
error_handler halide_set_error_handler(error_handler handler);

static void ignore(void *user_context, const char *message) {
    (void)user_context;
    (void)message;
}

static char locked;
static int32_t inside;
static error_handler before;

static void lock(void) {
    while (__atomic_test_and_set(&locked, __ATOMIC_ACQUIRE)) {
    }
}

int32_t sepconv_support_enter(void) {
    lock();
    if (inside++ == 0) before = halide_set_error_handler(ignore);
    __atomic_clear(&locked, __ATOMIC_RELEASE);
    return 0;
}

int32_t sepconv_support_leave(void) {
    lock();
    if (--inside == 0) halide_set_error_handler(before);
    __atomic_clear(&locked, __ATOMIC_RELEASE);
    return 0;
}
