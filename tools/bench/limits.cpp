#include "tools/bench/limits.h"

#include <algorithm>
#include <fstream>

#include "core/cpu/machine_limits.h"
#include "core/error.h"
#include "core/tensor.h"
#include "tools/bench/harness.h"

namespace lathe::bench {
namespace {

constexpr int64_t kKiB = 1024, kMiB = 1024 * kKiB;
constexpr int64_t kStreams = 3;

struct Caches {
  int64_t l1 = 32 * kKiB, l2 = 512 * kKiB, l3 = 32 * kMiB;
};

/// Of the first core, as Linux tells; usual sizes elsewhere.
Caches caches() {
  Caches found;
  for (int index = 0; index < 8; ++index) {
    const std::string folder = concat("/sys/devices/system/cpu/cpu0/cache/index", index, "/");
    std::ifstream level_file(folder + "level"), type_file(folder + "type"), size_file(folder + "size");
    int level = 0;
    int64_t size = 0;
    char unit = 0;
    std::string type;
    if (!(level_file >> level) || !(type_file >> type) || !(size_file >> size >> unit)) continue;
    size *= unit == 'M' ? kMiB : kKiB;
    if (level == 1 && type == "Data") found.l1 = size;
    if (level == 2) found.l2 = size;
    if (level == 3) found.l3 = size;
  }
  return found;
}

/// `bytes` a thread, in three arrays.
Bandwidth triad(std::string level, int64_t bytes) {
  constexpr double kLeastSeconds = 2e-3;  // of a call: long against waking the threads
  const int threads = num_threads();
  const int64_t n = std::max<int64_t>(bytes / kStreams / 4 / 64 * 64, 64);
  const auto moved = static_cast<double>(kStreams * 4 * n);
  std::vector<Tensor> arrays;
  for (int64_t i = 0; i < threads * kStreams; ++i) arrays.push_back(Tensor::full({n}, 0.25));
  const auto work = [&](int64_t times) {
    parallel_for(threads, 1, [&](int64_t thread, int64_t) {
      Tensor* mine = arrays.data() + thread * kStreams;
      cpu::triad_f32(mine[0].mut<float>(), mine[1].ptr<float>(), mine[2].ptr<float>(), 0.5f, n, times);
    });
  };
  int64_t rounds = 1;
  while (time_once([&] { work(rounds); }) < kLeastSeconds) rounds *= 2;
  const Times times = time_calls([&] { work(rounds); }, 0.15);
  const double bytes_moved = moved * static_cast<double>(rounds) * threads;
  return {std::move(level), kStreams * 4 * n, bytes_moved / times.least * 1e-9};
}

int64_t dram_bytes_each(const Caches& sizes) {
  return std::max(4 * sizes.l3, 64 * kMiB) / num_threads();
}

}  // namespace

Limits measure_limits() {
  const Caches sizes = caches();
  const int64_t l3_each = std::max(sizes.l3 / 4 / num_threads(), std::min(2 * sizes.l2, sizes.l3 / 2));
  return {.threads = num_threads(),
          .gflops = peak_gflops(),
          .bandwidths = {triad("L1", sizes.l1 / 2), triad("L2", sizes.l2 / 2), triad("L3", l3_each),
                         triad("DRAM", dram_bytes_each(sizes))}};
}

double dram_gb_per_second() {
  return triad("DRAM", dram_bytes_each(caches())).gb_per_second;
}

}  // namespace lathe::bench
