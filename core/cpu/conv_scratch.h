#pragma once
// Working memory of the convolution kernels.

#include <cstddef>

#include "core/allocator.h"

namespace lathe::cpu {

/// A block that only grows and lives as long as its thread: no allocation after warm-up. Contents are
/// undefined; a second take() invalidates the first.
class ConvScratch {
 public:
  ConvScratch() = default;
  ConvScratch(const ConvScratch&) = delete;
  ConvScratch& operator=(const ConvScratch&) = delete;
  ~ConvScratch() { drop(); }

  template <class T>
  T* take(int64_t count) {
    const size_t bytes = static_cast<size_t>(count) * sizeof(T) + kSlack;
    if (bytes > bytes_) {
      drop();
      block_ = host_allocator::allocate(bytes);
      bytes_ = bytes;
    }
    return static_cast<T*>(block_);
  }

 private:
  static constexpr size_t kSlack = 64;  // a size of 0 is no special case

  void drop() noexcept {
    if (block_ != nullptr) host_allocator::release(block_, bytes_);
    block_ = nullptr;
    bytes_ = 0;
  }

  void* block_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace lathe::cpu
