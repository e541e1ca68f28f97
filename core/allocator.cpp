#include "core/allocator.h"

#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#include "core/error.h"

namespace lathe::host_allocator {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, and the widest vector
constexpr size_t kPage = 4096;

// Blocks up to a page come in cache lines, larger ones in pages.
size_t rounded(size_t bytes) {
  const size_t unit = bytes <= kPage ? kAlignment : kPage;
  return (bytes + unit - 1) / unit * unit;
}

class Cache {
 public:
  void* allocate(size_t bytes) {
    const size_t size = rounded(bytes);
    const std::lock_guard lock(mutex_);
    ++stats_.requests;
    void* block = take(size);
    if (block == nullptr) block = from_system(size);
    stats_.live_bytes += size;
    stats_.peak_live_bytes = std::max(stats_.peak_live_bytes, stats_.live_bytes);
    return block;
  }

  void release(void* block, size_t bytes) noexcept {
    const size_t size = rounded(bytes);
    const std::lock_guard lock(mutex_);
    stats_.live_bytes -= size;
    try {
      free_[capacity_.at(block)].push_back(block);
      stats_.cached_bytes += capacity_.at(block);
    } catch (...) {  // no memory for the free list's own node: give the block back instead
      capacity_.erase(block);
      std::free(block);
    }
  }

  AllocatorStats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

  void reset_peak() {
    const std::lock_guard lock(mutex_);
    stats_.peak_live_bytes = stats_.live_bytes;
  }

  void trim() {
    const std::lock_guard lock(mutex_);
    trim_locked();
  }

 private:
  void* take(size_t size) {
    const auto it = free_.lower_bound(size);
    if (it == free_.end() || it->first > size + size / 8 + kAlignment) return nullptr;
    void* block = it->second.back();
    it->second.pop_back();
    stats_.cached_bytes -= it->first;
    if (it->second.empty()) free_.erase(it);
    return block;
  }

  void* from_system(size_t size) {
    void* block = std::aligned_alloc(kAlignment, size);
    if (block == nullptr) {  // the cache may hold what the system lacks
      trim_locked();
      block = std::aligned_alloc(kAlignment, size);
    }
    LATHE_CHECK(OutOfMemoryError, block != nullptr, "out of memory: could not allocate ", size, " bytes; ",
                stats_.live_bytes, " bytes are in use by tensors");
    ++stats_.system_allocations;
    capacity_[block] = size;
    return block;
  }

  void trim_locked() {
    for (auto& [size, blocks] : free_) {
      for (void* block : blocks) {
        capacity_.erase(block);
        std::free(block);
      }
    }
    free_.clear();
    stats_.cached_bytes = 0;
  }

  std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;  // by capacity
  std::map<void*, size_t> capacity_;           // looked up, never iterated: addresses decide nothing
  AllocatorStats stats_;
};

// Never destroyed: tensors with static storage may outlive any order of destruction.
Cache& cache() {
  static auto* instance = new Cache;
  return *instance;
}

}  // namespace

void* allocate(size_t bytes) {
  return cache().allocate(bytes);
}
void release(void* block, size_t bytes) noexcept {
  cache().release(block, bytes);
}
AllocatorStats stats() {
  return cache().stats();
}
void reset_peak() {
  cache().reset_peak();
}
void trim() {
  cache().trim();
}

}  // namespace lathe::host_allocator
