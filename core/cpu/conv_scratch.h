#pragma once
// Working memory of the convolution kernels.

#include <cstddef>
#include <cstdint>
#include <source_location>

namespace lathe::cpu {

/// A block that only grows and lives as long as its thread; a thread_local variable. Whoever first needs so
/// much of a variable inside a parallel loop puts as much aside for every other thread, which may take part
/// in such a loop any number of steps later: no allocation after warm-up on any number of threads. Contents
/// are undefined; a second take() invalidates the first.
class ConvScratch {
 public:
  explicit ConvScratch(std::source_location variable = std::source_location::current())
      : variable_(variable) {}
  ConvScratch(const ConvScratch&) = delete;
  ConvScratch& operator=(const ConvScratch&) = delete;
  ~ConvScratch() { drop(); }

  template <class T>
  T* take(int64_t count) {
    const size_t bytes = static_cast<size_t>(count) * sizeof(T) + kSlack;
    if (bytes > bytes_ || bytes > set_aside_) grow(bytes);
    return static_cast<T*>(block_);
  }

 private:
  static constexpr size_t kSlack = 64;  // a size of 0 is no special case

  void grow(size_t bytes);
  void drop() noexcept;

  std::source_location variable_;
  void* block_ = nullptr;
  size_t bytes_ = 0;
  size_t set_aside_ = 0;  // so much every thread is known to find
};

}  // namespace lathe::cpu
