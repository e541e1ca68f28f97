#include "tools/bench/step.h"

#include <algorithm>
#include <vector>

#include "tools/bench/harness.h"
#include "tools/bench/training.h"
#include "train/environment.h"

namespace lathe::bench {

StepResult bench_step(const StepCase& step_case) {
  Training training({.model = step_case.model, .batch = step_case.batch});
  StepResult result;
  const auto step = [&] { result.loss = training.step(); };
  step();
  step();
  std::vector<double> seconds;
  for (int64_t i = 0; i < step_case.steps; ++i) seconds.push_back(time_once(step));
  std::sort(seconds.begin(), seconds.end());
  result.ms_best = 1e3 * seconds.front();
  result.ms_median = 1e3 * seconds[seconds.size() / 2];
  result.samples_per_second = static_cast<double>(step_case.batch) / seconds[seconds.size() / 2];
  result.peak_rss_mib = static_cast<double>(peak_rss_bytes()) / (1 << 20);
  return result;
}

}  // namespace lathe::bench
