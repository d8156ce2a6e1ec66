/* free() as WebAssembly's linker accepts it from a compiled layer. */
#include "support.h"

void free(void *memory);

int32_t sepconv_support_free(void *memory) {
    free(memory);
    return 0;
}
