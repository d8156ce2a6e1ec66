// The machine's limit: multiply-adds from registers alone.
#pragma once

#include <string>

namespace sepconv::bench {

/// Floating-point operations per nanosecond of some threads with the widest multiply-add of a target ("avx512", "avx2", "sse41", "neon",
/// "neon_fp16"), each one's best of `repetitions` measurements of a few microseconds. The CPU must run the target.
double peak(const std::string &target, int repetitions, int threads = 1);

/// The same with a load from the first-level cache beside every multiply-add. Other work on a core's second hardware thread, which no count
/// of this machine's own time shows, takes more of this than of the peak.
double peak_beside_loads(const std::string &target, int repetitions, int threads = 1);

}  // namespace sepconv::bench
