#include "core/block_cache.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace lathe {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, and the widest vector
constexpr size_t kPage = 4096;
constexpr size_t kMostOversize = 2;  // a cached block against the request it serves
constexpr size_t kBand = 4096;       // also catches a whole row written beside the block
constexpr unsigned char kBandByte = 0xA5;
constexpr unsigned char kFreshByte = 0xFF;  // a quiet NaN in every floating dtype

// Blocks up to a page come in cache lines, larger ones in pages.
size_t rounded(size_t bytes) {
  const size_t unit = bytes <= kPage ? kAlignment : kPage;
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

void* BlockCache::allocate(size_t bytes) {
  const size_t size = rounded(bytes);
  const std::lock_guard lock(mutex_);
  ++stats_.requests;
  void* block = nullptr;
  if (guards_) {
    block = guarded(size, bytes);
  } else if (with_slabs_ && size > kLeastOfSlabs) {
    block = from_slabs(size);
  } else {
    block = take(size);
    if (block == nullptr) block = from_source(size);
  }
  stats_.live_bytes += size;
  stats_.peak_live_bytes = std::max(stats_.peak_live_bytes, stats_.live_bytes);
  return block;
}

void BlockCache::release(void* block, size_t bytes) noexcept {
  const size_t size = rounded(bytes);
  const std::lock_guard lock(mutex_);
  stats_.live_bytes -= size;
  if (release_guarded(block, bytes)) return;
  try {
    if (size > kLeastOfSlabs && slabs_.release(block) > 0) {
      stats_.cached_bytes += size;
      return;
    }
    free_[capacity_.at(block)].push_back(block);
    stats_.cached_bytes += capacity_.at(block);
  } catch (...) {  // no memory for the free list's own node: give the block back instead
    if (!capacity_.contains(block)) return;  // of a slab, which keeps it
    stats_.system_bytes -= capacity_[block];
    capacity_.erase(block);
    source_->release(block);
  }
}

AllocatorStats BlockCache::stats() {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void BlockCache::reset_peak() {
  const std::lock_guard lock(mutex_);
  stats_.peak_live_bytes = stats_.live_bytes;
  stats_.peak_system_bytes = stats_.system_bytes;
}

void BlockCache::trim() {
  const std::lock_guard lock(mutex_);
  trim_locked();
}

bool BlockCache::set_guards(bool on) {
  const std::lock_guard lock(mutex_);
  return std::exchange(guards_, on);
}

uint64_t BlockCache::guard_violations() {
  const std::lock_guard lock(mutex_);
  uint64_t live = 0;
  for (const auto& [block, bytes] : guarded_) live += intact(block, bytes) ? 0 : 1;
  return violations_ + live;
}

// A band before the block, one from its last byte to the end of the memory.
void* BlockCache::guarded(size_t size, size_t bytes) {
  auto* memory = static_cast<unsigned char*>(from_source(size + 2 * kBand));
  stats_.system_bytes -= capacity_[memory];
  capacity_.erase(memory);
  unsigned char* block = memory + kBand;
  source_->fill(memory, kBandByte, kBand);
  source_->fill(block, kFreshByte, bytes);
  source_->fill(block + bytes, kBandByte, size - bytes + kBand);
  guarded_[block] = bytes;
  return block;
}

bool BlockCache::intact(const void* pointer, size_t bytes) noexcept {
  const auto* block = static_cast<const unsigned char*>(pointer);
  return source_->all_equal(block - kBand, kBandByte, kBand) &&
         source_->all_equal(block + bytes, kBandByte, rounded(bytes) - bytes + kBand);
}

bool BlockCache::release_guarded(void* block, size_t bytes) noexcept {
  if (guarded_.erase(block) == 0) return false;
  if (!intact(block, bytes)) ++violations_;
  source_->release(static_cast<unsigned char*>(block) - kBand);
  return true;
}

void* BlockCache::take(size_t size) {
  const auto it = free_.lower_bound(size);
  if (it == free_.end() || it->first > kMostOversize * size) return nullptr;
  void* block = it->second.back();
  it->second.pop_back();
  stats_.cached_bytes -= it->first;
  if (it->second.empty()) free_.erase(it);
  return block;
}

void* BlockCache::from_source(size_t size) {
  void* block = source_->allocate(size);
  if (block == nullptr) {  // the cache may hold what the system lacks
    trim_locked();
    block = source_->allocate(size);
  }
  check_given(block, size);
  count_fresh(size);
  capacity_[block] = size;
  return block;
}

void* BlockCache::from_slabs(size_t size) {
  Slabs::Taken taken = slabs_.take(size);
  if (taken.block == nullptr) {
    size_t bytes = std::max(size, Slabs::kSlab);
    void* slab = source_->allocate(bytes);
    if (slab == nullptr) {  // less may do, and the cache may hold what the system lacks
      trim_locked();
      bytes = size;
      slab = source_->allocate(bytes);
    }
    check_given(slab, size);
    slabs_.add(slab, bytes);
    taken = slabs_.take(size);
  }
  stats_.cached_bytes -= size - taken.fresh;
  if (taken.fresh > 0) count_fresh(taken.fresh);
  return taken.block;
}

void BlockCache::count_fresh(size_t bytes) {
  ++stats_.system_allocations;
  stats_.system_bytes += bytes;
  stats_.peak_system_bytes = std::max(stats_.peak_system_bytes, stats_.system_bytes);
}

void BlockCache::check_given(const void* block, size_t size) const {
  LATHE_CHECK(OutOfMemoryError, block != nullptr, "out of memory (", source_->name(),
              "): could not allocate ", size, " bytes; ", stats_.live_bytes, " bytes are in use by tensors");
}

void BlockCache::trim_locked() {
  for (auto& [size, blocks] : free_) {
    for (void* block : blocks) {
      capacity_.erase(block);
      source_->release(block);
    }
    stats_.system_bytes -= size * blocks.size();
    stats_.cached_bytes -= size * blocks.size();
  }
  free_.clear();
  slabs_.trim([this](void* slab) { source_->release(slab); },
              [this](void* from, size_t bytes) { source_->discard(from, bytes); });
  stats_.system_bytes -= stats_.cached_bytes;  // what is left of it lay in slabs
  stats_.cached_bytes = 0;
}

}  // namespace lathe
