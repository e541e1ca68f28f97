#pragma once
// Guard bands around every tensor made while alive.

#include <cstdint>

#include "core/allocator.h"

namespace lathe::tests {

class GuardedMemory {
 public:
  GuardedMemory()
      : before_(host_allocator::guard_violations()), previous_(host_allocator::set_guards(true)) {}
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;
  ~GuardedMemory() { host_allocator::set_guards(previous_); }
  /// Blocks of this scope that somebody wrote beside.
  uint64_t violations() const { return host_allocator::guard_violations() - before_; }

 private:
  uint64_t before_;
  bool previous_;
};

}  // namespace lathe::tests
