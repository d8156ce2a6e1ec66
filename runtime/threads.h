// The library's own threads.
#pragma once

#include "sepconv/layer.h"

namespace sepconv {

/// Threads that are started with the first use and sleep between. A run that finds them busy with another one does its tasks itself.
/// @param threads  at most so many at once, the calling one included.
void pool_parallel_for(int threads, int count, void (*task)(void *context, int index), void *context);

/// How many threads the machine runs at once.
int machine_threads();

}  // namespace sepconv
