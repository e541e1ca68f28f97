#pragma once
// Panels of B as blocks of C read them (gemm_tile.h): two vectors of columns, term by term. Columns that fill
// one vector at most make a panel of one.

#include "core/cpu/isa/gemm_tile.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

/// In place: lane j of row i and lane i of row j change places. Lanes whose index differs from the row's in
/// bit `kStep` are exchanged, bit after bit.
template <class T, int kStep = 1>
__attribute__((always_inline)) inline void transpose(Vec<T> (&rows)[kLanes<T>]) {
  constexpr int kSide = kLanes<T>;
  if constexpr (kStep < kSide) {
    IntVec<T> low{}, high{};
    for (int i = 0; i < kSide; ++i) {
      low[i] = (i & kStep) == 0 ? i : i - kStep + kSide;
      high[i] = (i & kStep) == 0 ? i + kStep : i + kSide;
    }
#pragma GCC unroll 16
    for (int i = 0; i < kSide; ++i) {
      if ((i & kStep) != 0) continue;
      const Vec<T> a = rows[i], b = rows[i + kStep];
      rows[i] = __builtin_shuffle(a, b, low);
      rows[i + kStep] = __builtin_shuffle(a, b, high);
    }
    transpose<T, 2 * kStep>(rows);
  }
}

/// to[p * step + j] = from[j * ld + p] for j < width, 0 up to `step`, whole vectors; p < k.
template <class T>
void pack_transposed(T* to, int64_t step, const T* from, int64_t ld, int64_t width, int64_t k) {
  constexpr int64_t kSide = kLanes<T>;
  for (int64_t j = 0; j < step; j += kSide) {
    const int64_t count = least(kSide, width - j);
    int64_t p = 0;
    for (; p + kSide <= k; p += kSide) {
      Vec<T> rows[kSide];
      const T* square = from + j * ld + p;
      if (count == kSide) {
#pragma GCC unroll 16
        for (int r = 0; r < kSide; ++r) rows[r] = load(square + r * ld);
      } else {
        for (int r = 0; r < kSide; ++r) rows[r] = r < count ? load(square + r * ld) : splat(T{0});
      }
      transpose<T>(rows);
#pragma GCC unroll 16
      for (int r = 0; r < kSide; ++r) store<T>(to + (p + r) * step + j, rows[r]);
    }
    for (; p < k; ++p) {
      for (int64_t r = 0; r < kSide; ++r) to[p * step + j + r] = r < count ? from[(j + r) * ld + p] : T{0};
    }
  }
}

/// Columns [lo, hi) of a B stored (k, n): row by row, so that memory is read in order.
template <class T>
void pack_rows(T* packed, const T* b, int64_t ldb, int64_t k, int64_t lo, int64_t hi) {
  for (int64_t p = 0; p < k; ++p) {
    const T* from = b + p * ldb;
    int64_t j = lo;
    for (; j + kPanel<T> <= hi; j += kPanel<T>) {
      T* to = packed + j * k + p * kPanel<T>;
      store<T>(to, load(from + j));
      store<T>(to + kLanes<T>, load(from + j + kLanes<T>));
    }
    if (j == hi) continue;
    const int64_t width = hi - j, step = width > kLanes<T> ? kPanel<T> : kLanes<T>;
    T* to = packed + j * k + p * step;
    for (int64_t i = 0; i < step; ++i) to[i] = i < width ? from[j + i] : T{0};
  }
}

}  // namespace
}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
