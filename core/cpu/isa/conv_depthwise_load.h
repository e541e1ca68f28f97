#pragma once
// Loads of the depthwise micro-kernels, written so that the compiler keeps what they are meant to keep.

#include "core/simd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

/// In a register: the compiler would rather load it again for each FMA.
template <class V>
[[gnu::always_inline]] inline void keep([[maybe_unused]] V& v) {
#if defined(__x86_64__)
  asm("" : "+v"(v));
#endif
}

/// An address made step by step: the compiler would rather keep every address of a tile, in memory, as
/// there are not registers enough.
template <class T>
[[gnu::always_inline]] inline void keep_address([[maybe_unused]] T*& p) {
#if defined(__x86_64__)
  asm("" : "+r"(p));
#endif
}

/// The same of an index that several addresses share.
[[gnu::always_inline]] inline void keep_index([[maybe_unused]] int64_t& i) {
#if defined(__x86_64__)
  asm("" : "+r"(i));
#endif
}

template <class T>
[[gnu::always_inline]] inline Vec<T> load_kept(const T* from) {
  Vec<T> v = load(from);
  keep(v);
  return v;
}

/// N vectors, `step` elements apart.
template <int N, class T>
[[gnu::always_inline]] inline void load_all(Vec<T> (&v)[N], const T* from, int64_t step) {
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i, from += step) {
    keep_address(from);
    v[i] = load_kept(from);
  }
}

/// P pixels, `step` elements apart. One instruction each: a loop over the lines of a row costs several.
template <int P, int Level = 1, class T>
[[gnu::always_inline]] inline void prefetch(const T* from, int64_t step) {
#pragma GCC unroll 32
  for (int p = 0; p < P; ++p, from += step) {
    keep_address(from);
    __builtin_prefetch(from, 0, 4 - Level);
  }
}

}  // namespace
}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
