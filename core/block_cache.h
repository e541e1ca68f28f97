#pragma once
// Memory blocks kept for reuse: one cache for the host, one for each CUDA device.

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/allocator.h"
#include "core/slabs.h"

namespace lathe {

/// Where a cache's blocks come from, and how their bytes are reached.
class BlockSource {
 public:
  virtual ~BlockSource() = default;
  virtual void* allocate(size_t bytes) = 0;  ///< aligned to 64 bytes; null when there is none
  virtual void release(void* block) noexcept = 0;
  /// The contents of this part of a block are no longer needed; its whole pages may go back to the system.
  virtual void discard(void*, size_t) noexcept {}
  virtual void fill(void* to, unsigned char byte, size_t bytes) = 0;
  /// True when all bytes equal `byte`.
  virtual bool all_equal(const void* from, unsigned char byte, size_t bytes) noexcept = 0;
  virtual std::string name() const = 0;  ///< "host", "cuda:0"; for messages
};

/// A request is served by the smallest cached block of at most twice its size, else by the source. With
/// slabs, requests above kLeastOfSlabs are cut from these (core/slabs.h): only for sources that give memory
/// when it is touched. Which block that is depends on sizes and on the order of calls only. Thread safe.
class BlockCache {
 public:
  static constexpr size_t kLeastOfSlabs = size_t{1} << 20;

  explicit BlockCache(std::unique_ptr<BlockSource> source, bool slabs = false)
      : source_(std::move(source)), with_slabs_(slabs) {}

  /// OutOfMemoryError, with what was asked for, when the source has none after the cache was given back.
  void* allocate(size_t bytes);
  void release(void* block, size_t bytes) noexcept;
  AllocatorStats stats();
  void reset_peak();
  void trim();

  /// See host_allocator::set_guards.
  bool set_guards(bool on);
  uint64_t guard_violations();

 private:
  void* guarded(size_t size, size_t bytes);
  bool intact(const void* block, size_t bytes) noexcept;
  bool release_guarded(void* block, size_t bytes) noexcept;
  void* take(size_t size);
  void* from_source(size_t size);
  void* from_slabs(size_t size);
  void count_fresh(size_t bytes);
  void check_given(const void* block, size_t size) const;
  void trim_locked();

  std::unique_ptr<BlockSource> source_;
  bool with_slabs_;
  Slabs slabs_;
  std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;  // by capacity
  std::map<void*, size_t> capacity_;           // looked up, never iterated: addresses decide nothing
  AllocatorStats stats_;
  bool guards_ = false;
  std::map<void*, size_t> guarded_;  // bytes asked for
  uint64_t violations_ = 0;
};

/// The host's, behind host_allocator.
BlockCache& host_memory();
/// The same over no memory, for tensors on Device::meta(): what the tensors of a program would occupy on the
/// host is found by running it there (train/step_memory.h). Nobody follows its addresses.
BlockCache& meta_memory();

}  // namespace lathe
