#include "core/cpu/thread_pool.h"

#include <algorithm>
#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lathe::cpu {
namespace {

// The gate: bit 31 open, bits 16 to 30 the helpers that may enter, bits 0 to 15 those inside.
constexpr uint32_t kOpen = uint32_t{1} << 31, kInside = 0xffff;
constexpr int kMostShift = 16;
constexpr int kMostHelpers = 0x7fff;
constexpr std::chrono::microseconds kSpin{50};

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

/// Until `value` is no longer `old`: spinning first, then asleep.
void wait_for_change(const std::atomic<uint32_t>& value, uint32_t old) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::~ThreadPool() {
  ending_.store(true, std::memory_order_relaxed);
  loops_.fetch_add(1, std::memory_order_release);
  loops_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool ThreadPool::run(int helpers, FunctionRef<void()> work) {
  const std::unique_lock owner(owner_, std::try_to_lock);
  if (!owner.owns_lock()) return false;
  helpers = std::min(helpers, kMostHelpers);
  grow(helpers);
  work_ = &work;
  gate_.store(kOpen | static_cast<uint32_t>(helpers) << kMostShift, std::memory_order_release);
  loops_.fetch_add(1, std::memory_order_release);
  loops_.notify_all();
  work();
  uint32_t inside = gate_.fetch_and(kInside, std::memory_order_acq_rel) & kInside;
  while (inside != 0) {
    wait_for_change(gate_, inside);
    inside = gate_.load(std::memory_order_acquire);
  }
  return true;
}

void ThreadPool::grow(int helpers) {
  while (static_cast<int>(threads_.size()) < helpers) threads_.emplace_back([this] { help(); });
}

void ThreadPool::help() {
  uint32_t seen = 0;
  while (true) {
    wait_for_change(loops_, seen);
    seen = loops_.load(std::memory_order_acquire);
    if (ending_.load(std::memory_order_relaxed)) return;
    if (!enter()) continue;
    (*work_)();
    leave();
  }
}

bool ThreadPool::enter() {
  uint32_t gate = gate_.load(std::memory_order_acquire);
  while ((gate & kOpen) != 0 && (gate & kInside) < (gate & ~kOpen) >> kMostShift) {
    if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel, std::memory_order_acquire))
      return true;
  }
  return false;
}

void ThreadPool::leave() {
  const uint32_t before = gate_.fetch_sub(1, std::memory_order_acq_rel);
  if ((before & kOpen) == 0) gate_.notify_one();
}

}  // namespace lathe::cpu
