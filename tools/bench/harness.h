#pragma once
// What the benchmarks share: timing by medians, and the machine's limit measured in the same run.

#include <string>
#include <vector>

#include "core/parallel.h"

namespace lathe::bench {

struct Row {
  std::string name;  ///< of the case, "r20 16 32x32"
  std::string pass;  ///< "forward", "backward data", ...
  double ms_median = 0;
  double ms_least = 0;       ///< the quietest run: what to compare on a busy machine
  double gflops = 0;         ///< of the median
  double share_of_peak = 0;  ///< gflops over the peak of as many threads, of this run
  /// Bytes that must be read or written once, over what DRAM gives as many threads. Beyond 1 the operands
  /// were in cache.
  double share_of_dram = 0;
};

/// What a call does at least, and what the machine does at most.
struct Work {
  double flops = 0, bytes = 0;
};
struct Machine {
  double gflops = 0, gb_per_second = 0;
};
/// Of num_threads() threads, now.
Machine measure_machine();

struct Times {
  double median = 0, least = 0;  // seconds
};

/// The middle value, or the mean of the two in the middle; `values` are not empty.
double median(std::vector<double> values);

/// Calls fn until `seconds` have passed, at least 5 times, after one call that warms up. CPU time on one
/// thread, so that other jobs matter less; wall time on several.
Times time_calls(FunctionRef<void()> fn, double seconds);
/// Seconds of one call, by the same clock.
double time_once(FunctionRef<void()> fn);

/// "cpu" or "wall": what they count.
const char* clock_name();
/// Wall time since this process began, in steps of 10 ms; 0 where the system does not tell.
double seconds_since_start();

/// Gigaflops that num_threads() cores reach in f32 on registers alone; the best of several short runs.
double peak_gflops();

/// A row from the times of a call.
Row make_row(std::string name, std::string pass, Times times, const Work& work, const Machine& machine);

}  // namespace lathe::bench
