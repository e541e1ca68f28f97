#include "core/allocator.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/block_cache.h"

namespace lathe {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, and the widest vector

class SystemMemory final : public BlockSource {
 public:
  void* allocate(size_t bytes) override { return std::aligned_alloc(kAlignment, bytes); }
  void release(void* block) noexcept override { std::free(block); }
  void fill(void* to, unsigned char byte, size_t bytes) override { std::memset(to, byte, bytes); }
  bool all_equal(const void* from, unsigned char byte, size_t bytes) noexcept override {
    const auto* begin = static_cast<const unsigned char*>(from);
    return std::all_of(begin, begin + bytes, [byte](unsigned char other) { return other == byte; });
  }
  std::string name() const override { return "host"; }
};

/// Gives each block a number of its own for an address.
class NoMemory final : public BlockSource {
 public:
  void* allocate(size_t) override { return reinterpret_cast<void*>(++blocks_); }
  void release(void*) noexcept override {}
  void fill(void*, unsigned char, size_t) override {}
  bool all_equal(const void*, unsigned char, size_t) noexcept override { return true; }
  std::string name() const override { return "meta"; }

 private:
  uintptr_t blocks_ = 0;
};

}  // namespace

// Never destroyed: tensors with static storage may outlive any order of destruction.
BlockCache& host_memory() {
  static auto* instance = new BlockCache(std::make_unique<SystemMemory>());
  return *instance;
}
BlockCache& meta_memory() {
  static auto* instance = new BlockCache(std::make_unique<NoMemory>());
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
