#pragma once
// A whole training step: forward, loss, backward, update, on random data.

#include <cstdint>
#include <string>

namespace lathe::bench {

struct StepCase {
  std::string model = "resnet20";
  int64_t batch = 128;
  int64_t steps = 8;  ///< timed, after two that warm up
};

struct StepResult {
  double ms_best = 0, ms_median = 0;
  double samples_per_second = 0;  ///< of the median
  double peak_rss_mib = 0;        ///< of the process so far
  double loss = 0;                ///< of the last step, so that the work cannot be optimised away unseen
};

/// SGD with momentum 0.9 and weight decay 5e-4 at rate 0.1, cross-entropy over the model's classes.
StepResult bench_step(const StepCase& step_case);

}  // namespace lathe::bench
