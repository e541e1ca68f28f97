#pragma once
// Threads that help with one loop at a time.
//
// Between loops a helper spins for a moment (kSpin), because the next loop mostly begins within microseconds,
// and then sleeps: with foreign work on the cores a spinning thread costs the very one it waits for. For the
// same reason nobody waits for a helper that has not begun: the caller works through all chunks itself and
// waits only for helpers that are inside the loop.

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "core/parallel.h"

namespace lathe::cpu {

class ThreadPool {
 public:
  ThreadPool() = default;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  /// Calls work() on this thread and on up to `helpers` others at once, and returns when all of them have
  /// returned. work() takes its share of a loop from an atomic counter and does not throw. False, without a
  /// call, when another thread uses the pool.
  bool run(int helpers, FunctionRef<void()> work);

 private:
  void grow(int helpers);
  void help();
  bool enter();
  void leave();

  std::mutex owner_;                  // held during a loop
  std::vector<std::thread> threads_;  // changed under owner_
  const FunctionRef<void()>* work_ = nullptr;
  std::atomic<uint32_t> gate_{0};   // open?, how many helpers may enter, how many are inside
  std::atomic<uint32_t> loops_{0};  // counts loops; helpers sleep on it
  std::atomic<bool> ending_{false};
};

}  // namespace lathe::cpu
