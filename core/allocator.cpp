#include "core/allocator.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "core/error.h"

namespace lathe::host_allocator {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, and the widest vector
constexpr size_t kPage = 4096;
constexpr size_t kMostOversize = 2;  // a cached block against the request it serves
constexpr size_t kBand = 4096;  // also catches a whole row written beside the block
constexpr unsigned char kBandByte = 0xA5;
constexpr unsigned char kFreshByte = 0xFF;  // a quiet NaN in f32 and f64

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
    void* block = nullptr;
    if (guards_) {
      block = guarded(size, bytes);
    } else {
      block = take(size);
      if (block == nullptr) block = from_system(size);
    }
    stats_.live_bytes += size;
    stats_.peak_live_bytes = std::max(stats_.peak_live_bytes, stats_.live_bytes);
    return block;
  }

  void release(void* block, size_t bytes) noexcept {
    const size_t size = rounded(bytes);
    const std::lock_guard lock(mutex_);
    stats_.live_bytes -= size;
    if (release_guarded(block, bytes)) return;
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

  bool set_guards(bool on) {
    const std::lock_guard lock(mutex_);
    return std::exchange(guards_, on);
  }

  uint64_t guard_violations() {
    const std::lock_guard lock(mutex_);
    uint64_t live = 0;
    for (const auto& [block, bytes] : guarded_) live += intact(block, bytes) ? 0 : 1;
    return violations_ + live;
  }

 private:
  // A band before the block, one from its last byte to the end of the memory.
  void* guarded(size_t size, size_t bytes) {
    auto* memory = static_cast<unsigned char*>(from_system(size + 2 * kBand));
    capacity_.erase(memory);
    unsigned char* block = memory + kBand;
    std::memset(memory, kBandByte, kBand);
    std::memset(block, kFreshByte, bytes);
    std::memset(block + bytes, kBandByte, size - bytes + kBand);
    guarded_[block] = bytes;
    return block;
  }

  static bool intact(const void* pointer, size_t bytes) noexcept {
    const auto* block = static_cast<const unsigned char*>(pointer);
    const auto untouched = [](const unsigned char* begin, const unsigned char* end) {
      return std::all_of(begin, end, [](unsigned char byte) { return byte == kBandByte; });
    };
    return untouched(block - kBand, block) && untouched(block + bytes, block + rounded(bytes) + kBand);
  }

  bool release_guarded(void* block, size_t bytes) noexcept {
    if (guarded_.erase(block) == 0) return false;
    if (!intact(block, bytes)) ++violations_;
    std::free(static_cast<unsigned char*>(block) - kBand);
    return true;
  }

  void* take(size_t size) {
    const auto it = free_.lower_bound(size);
    if (it == free_.end() || it->first > kMostOversize * size) return nullptr;
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
  bool guards_ = false;
  std::map<void*, size_t> guarded_;  // bytes asked for
  uint64_t violations_ = 0;
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
bool set_guards(bool on) {
  return cache().set_guards(on);
}
uint64_t guard_violations() {
  return cache().guard_violations();
}

}  // namespace lathe::host_allocator
