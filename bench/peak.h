// The machine's limit: multiply-adds from registers alone.
#pragma once

#include <string>

namespace sepconv::bench {

/// Floating-point operations per nanosecond of one thread with the widest multiply-add of a target ("avx512", "avx2", "sse41"),
/// the best of `repetitions` short measurements. The CPU must run the target.
double peak(const std::string &target, int repetitions);

}  // namespace sepconv::bench
