#include "core/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <limits>
#include <mutex>

#include <sched.h>

#include "core/cpu/thread_pool.h"
#include "core/error.h"

namespace lathe {
namespace {

std::atomic<int> thread_count{0};  // 0: not set, use every core
thread_local bool inside_loop = false;

int cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  const int count = CPU_COUNT(&set);
  return count > 0 ? count : 1;
}

/// A loop that threads take chunks of.
class Loop {
 public:
  Loop(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> body)
      : n_(n), grain_(grain), chunks_(chunk_count(n, grain)), body_(body) {}

  void work() {
    inside_loop = true;
    for (int64_t chunk; (chunk = next_.fetch_add(1, std::memory_order_relaxed)) < chunks_;) {
      try {
        const int64_t lo = chunk * grain_;
        body_(lo, std::min(n_, lo + grain_));
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (chunk < failed_chunk_) {
          failed_chunk_ = chunk;
          failure_ = std::current_exception();
        }
      }
    }
    inside_loop = false;
  }
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  int64_t n_, grain_, chunks_;
  FunctionRef<void(int64_t, int64_t)> body_;
  std::atomic<int64_t> next_{0};
  std::mutex mutex_;
  std::exception_ptr failure_;
  int64_t failed_chunk_ = std::numeric_limits<int64_t>::max();
};

cpu::ThreadPool& pool() {
  static cpu::ThreadPool threads;
  return threads;
}

}  // namespace

int num_threads() {
  static const int all = cores();
  const int n = thread_count.load(std::memory_order_relaxed);
  return n > 0 ? n : all;
}

void set_num_threads(int n) {
  LATHE_CHECK(ConfigError, n >= 1 && n <= 1024, "threads: expected 1 to 1024, found ", n);
  thread_count.store(n, std::memory_order_relaxed);
}

bool inside_parallel_loop() {
  return inside_loop;
}

void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t lo, int64_t hi)> body) {
  LATHE_ASSERT(grain > 0);
  const int64_t chunks = chunk_count(n, grain);
  const int threads = static_cast<int>(std::min<int64_t>(num_threads(), chunks));
  if (threads > 1 && !inside_loop) {
    Loop loop(n, grain, body);
    const auto work = [&loop] { loop.work(); };
    if (pool().run(threads - 1, work)) return loop.rethrow();
  }
  for (int64_t lo = 0; lo < n; lo += grain) body(lo, std::min(n, lo + grain));
}

}  // namespace lathe
