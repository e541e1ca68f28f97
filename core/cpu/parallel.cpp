#include "core/parallel.h"

#include <atomic>
#include <exception>
#include <limits>
#include <mutex>

#include <omp.h>

#include "core/error.h"

namespace lathe {
namespace {
std::atomic<int> thread_count{0};  // 0: not set, use every core
}

int num_threads() {
  const int n = thread_count.load(std::memory_order_relaxed);
  return n > 0 ? n : omp_get_num_procs();
}

void set_num_threads(int n) {
  LATHE_CHECK(ConfigError, n >= 1 && n <= 1024, "threads: expected 1 to 1024, found ", n);
  thread_count.store(n, std::memory_order_relaxed);
}

void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t lo, int64_t hi)> body) {
  LATHE_ASSERT(grain > 0);
  const int64_t chunks = chunk_count(n, grain);
  const int threads = static_cast<int>(std::min<int64_t>(num_threads(), chunks));
  if (threads <= 1 || omp_in_parallel() != 0) {
    for (int64_t lo = 0; lo < n; lo += grain) body(lo, std::min(n, lo + grain));
    return;
  }
  std::mutex mutex;
  std::exception_ptr failure;
  int64_t failed_chunk = std::numeric_limits<int64_t>::max();
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    try {
      const int64_t lo = chunk * grain;
      body(lo, std::min(n, lo + grain));
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (chunk < failed_chunk) {
        failed_chunk = chunk;
        failure = std::current_exception();
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace lathe
