#pragma once
// Neighbouring elements that are loaded and stored at once, for kernels that are no map over flat tensors.

#include <initializer_list>

#include "cuda/map.cuh"

namespace lathe::cuda {

/// W neighbours, aligned to their size or to 16 bytes.
template <class T, int W>
struct alignas(W * sizeof(T) < 16 ? W * sizeof(T) : 16) Run {
  T v[W];
};

inline bool aligned_to_16(std::initializer_list<const void*> addresses) {
  for (const void* address : addresses) {
    if (reinterpret_cast<uintptr_t>(address) % 16 != 0) return false;
  }
  return true;
}

/// fn.operator()<W>(): W elements of T in 16 bytes where they divide rows of `inner` elements and the tensors
/// begin at multiples of 16 bytes, else 1.
template <class T, class Fn>
void with_width(int64_t inner, std::initializer_list<const void*> addresses, const Fn& fn) {
  if (inner % kPack<T> == 0 && aligned_to_16(addresses)) return fn.template operator()<kPack<T>>();
  fn.template operator()<1>();
}

template <int W, class T>
LATHE_HD const Run<T, W>* runs(const T* x) {
  return reinterpret_cast<const Run<T, W>*>(x);
}
template <int W, class T>
LATHE_HD Run<T, W>* runs(T* x) {
  return reinterpret_cast<Run<T, W>*>(x);
}

/// fn.operator()<Word>() with the widest word, up to 16 bytes, of which every one of `bytes` is a multiple:
/// for kernels that only move.
template <class Fn>
void with_widest_word(std::initializer_list<int64_t> bytes, const Fn& fn) {
  uint64_t all = 0;
  for (const int64_t n : bytes) all |= static_cast<uint64_t>(n);
  if (all % 16 == 0) return fn.template operator()<Run<uint32_t, 4>>();
  if (all % 8 == 0) return fn.template operator()<uint64_t>();
  if (all % 4 == 0) return fn.template operator()<uint32_t>();
  if (all % 2 == 0) return fn.template operator()<uint16_t>();
  fn.template operator()<uint8_t>();
}

}  // namespace lathe::cuda
