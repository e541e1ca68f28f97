#include "tools/bench/harness.h"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include <unistd.h>

#include "core/cpu/machine_limits.h"
#include "tools/bench/limits.h"

namespace lathe::bench {
namespace {

double clock_seconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

double time_once(FunctionRef<void()> fn) {
  const clockid_t clock = num_threads() == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
  const double start = clock_seconds(clock);
  fn();
  return clock_seconds(clock) - start;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Times time_calls(FunctionRef<void()> fn, double seconds) {
  fn();
  std::vector<double> times;
  const double begin = clock_seconds(CLOCK_MONOTONIC);
  while (times.size() < 5 || clock_seconds(CLOCK_MONOTONIC) - begin < seconds) times.push_back(time_once(fn));
  return {median(times), *std::min_element(times.begin(), times.end())};
}

const char* clock_name() {
  return num_threads() == 1 ? "cpu" : "wall";
}

double seconds_since_start() {
  std::ifstream file("/proc/self/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const size_t name_end = text.rfind(')');  // of field 2, which may hold blanks
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  constexpr int kStartTime = 22;
  for (int i = 3; i <= kStartTime; ++i) fields >> field;
  const double ticks = std::strtod(field.c_str(), nullptr);
  return clock_seconds(CLOCK_BOOTTIME) - ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double peak_gflops() {
  constexpr int64_t kRounds = 500'000;
  const int threads = num_threads();
  double flops = 0;
  const Times times = time_calls(
      [&] {
        std::vector<double> done(static_cast<size_t>(threads));
        parallel_for(threads, 1, [&](int64_t i, int64_t) {
          float sink[2] = {0.5f, 1.0f};
          done[static_cast<size_t>(i)] = cpu::fma_peak_f32(sink, kRounds);
        });
        flops = 0;
        for (const double part : done) flops += part;
      },
      0.1);
  return flops / times.least * 1e-9;
}

Machine measure_machine() {
  return {peak_gflops(), dram_gb_per_second()};
}

Row make_row(std::string name, std::string pass, Times times, const Work& work, const Machine& machine) {
  const double gflops = work.flops / times.median * 1e-9;
  return {.name = std::move(name),
          .pass = std::move(pass),
          .ms_median = times.median * 1e3,
          .ms_least = times.least * 1e3,
          .gflops = gflops,
          .share_of_peak = gflops / machine.gflops,
          .share_of_dram = work.bytes / times.median * 1e-9 / machine.gb_per_second};
}

}  // namespace lathe::bench
