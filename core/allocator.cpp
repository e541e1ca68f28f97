#include "core/allocator.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

#include "core/block_cache.h"

namespace lathe {
namespace {

// A sanitizer sees a byte beside a large tensor only where each has a block of the system's.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSlabs = false;
#else
constexpr bool kSlabs = true;
#endif

constexpr size_t kAlignment = 64;  // a cache line, and the widest vector

class SystemMemory final : public BlockSource {
 public:
  void* allocate(size_t bytes) override { return std::aligned_alloc(kAlignment, bytes); }
  void release(void* block) noexcept override { std::free(block); }
  void discard(void* from, size_t bytes) noexcept override {
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const uintptr_t begin = (reinterpret_cast<uintptr_t>(from) + page - 1) / page * page,
                    end = (reinterpret_cast<uintptr_t>(from) + bytes) / page * page;
    if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  void fill(void* to, unsigned char byte, size_t bytes) override { std::memset(to, byte, bytes); }
  bool all_equal(const void* from, unsigned char byte, size_t bytes) noexcept override {
    const auto* begin = static_cast<const unsigned char*>(from);
    return std::all_of(begin, begin + bytes, [byte](unsigned char other) { return other == byte; });
  }
  std::string name() const override { return "host"; }
};

/// Gives each byte a number of its own for an address.
class NoMemory final : public BlockSource {
 public:
  void* allocate(size_t bytes) override {
    return reinterpret_cast<void*>(std::exchange(next_, next_ + bytes));
  }
  void release(void*) noexcept override {}
  void fill(void*, unsigned char, size_t) override {}
  bool all_equal(const void*, unsigned char, size_t) noexcept override { return true; }
  std::string name() const override { return "meta"; }

 private:
  uintptr_t next_ = 1;
};

}  // namespace

// Never destroyed: tensors with static storage may outlive any order of destruction.
BlockCache& host_memory() {
  static auto* instance = new BlockCache(std::make_unique<SystemMemory>(), kSlabs);
  return *instance;
}
BlockCache& meta_memory() {
  static auto* instance = new BlockCache(std::make_unique<NoMemory>(), kSlabs);
  return *instance;
}

namespace host_allocator {

void* allocate(size_t bytes) {
  return host_memory().allocate(bytes);
}
void release(void* block, size_t bytes) noexcept {
  host_memory().release(block, bytes);
}
AllocatorStats stats() {
  return host_memory().stats();
}
void reset_peak() {
  host_memory().reset_peak();
}
void trim() {
  host_memory().trim();
}
bool set_guards(bool on) {
  return host_memory().set_guards(on);
}
uint64_t guard_violations() {
  return host_memory().guard_violations();
}

}  // namespace host_allocator
}  // namespace lathe
