// The object files of the support functions, which are compiled when sepconv is built and are part of the program.
#pragma once

#include <vector>

#include "Halide.h"

namespace sepconv::compiler {

struct SupportObject {
    const char *name;  ///< in the archive, without a suffix
    const char *begin, *end;
};

/// Those that a library for a target needs.
/// @param dispatches  it has functions for several CPUs
std::vector<SupportObject> support_objects(const Halide::Target &target, bool dispatches);

}  // namespace sepconv::compiler
