#pragma once
// Sums for files compiled per instruction set. Everything has internal linkage: see core/cpu/isa.h.

#include <cstdint>

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

constexpr int kSumLanes = 32;       // more than 16: shorter loops are unrolled before they can be vectorised
constexpr int64_t kSumBlock = 512;  // what follows on a block finds it in the first cache

/// What one element adds to two sums, weight * first and weight * second.
/// A block with a mark above 0 is looked at again.
template <class T>
struct Terms {
  T weight, first, second, mark;
};

/// Which sums, and whether weights are fn's or plain dy, which then is read where it stands.
struct SumKind {
  bool second, weighted;
};

/// sum + a b. A product of floats is exact in double, so that rounding it once or twice is the same.
template <class T>
[[gnu::always_inline]] inline double plus_product(double sum, T a, T b) {
#if defined(__FMA__)
  if constexpr (sizeof(T) == 4) return __builtin_fma(static_cast<double>(a), static_cast<double>(b), sum);
#endif
  return sum + static_cast<double>(a) * static_cast<double>(b);
}

/// Lane l gets elements l, l + kSumLanes, ... of [begin, end), a whole number of lanes; returns whether one
/// has a mark. What is wanted of them is made in T, so that the loop that makes it has one type.
template <SumKind kKind, class T, class Fn>
[[gnu::always_inline]] inline bool sum_lanes(double* first, double* second, const T* dy, int64_t begin,
                                             int64_t end, const Fn& fn) {
  T seen[kSumLanes] = {};
  for (int64_t i = begin; i < end; i += kSumLanes) {
    T own[kSumLanes], a[kSumLanes], b[kSumLanes];
    for (int l = 0; l < kSumLanes; ++l) {
      const Terms<T> terms = fn(i + l);
      if constexpr (kKind.weighted) own[l] = terms.weight;
      a[l] = terms.first;
      b[l] = terms.second;
      seen[l] = terms.mark > seen[l] ? terms.mark : seen[l];
    }
    const T* weight = kKind.weighted ? own : dy + i;
    for (int l = 0; l < kSumLanes; ++l) first[l] = plus_product(first[l], weight[l], a[l]);
    if constexpr (kKind.second) {
      for (int l = 0; l < kSumLanes; ++l) second[l] = plus_product(second[l], weight[l], b[l]);
    }
  }
  T most = 0;
  for (int l = 0; l < kSumLanes; ++l) most = seen[l] > most ? seen[l] : most;
  return most > 0;
}

/// sums[0] and sums[1] (0 unless wanted) = the sums over [0, n) of what fn(i) -> Terms<T> adds: 32
/// interleaved lanes, added up pairwise; fewer than 32 in order. marked(begin, end) follows on each block
/// with a mark.
template <SumKind kKind, class T, class Fn, class Marked>
[[gnu::always_inline]] inline void sum_two(double* sums, const T* dy, int64_t n, const Fn& fn,
                                           const Marked& marked) {
  double first[kSumLanes] = {}, second[kSumLanes] = {};
  const int64_t whole = n / kSumLanes * kSumLanes;
  for (int64_t begin = 0; begin < whole; begin += kSumBlock) {
    const int64_t end = whole - begin < kSumBlock ? whole : begin + kSumBlock;
    if (sum_lanes<kKind>(first, second, dy, begin, end, fn)) marked(begin, end);
  }
  T seen = 0;
  for (int64_t i = whole; i < n; ++i) {
    const Terms<T> terms = fn(i);
    const int64_t lane = whole == 0 ? 0 : i - whole;
    first[lane] = plus_product(first[lane], terms.weight, terms.first);
    if (kKind.second) second[lane] = plus_product(second[lane], terms.weight, terms.second);
    seen = terms.mark > seen ? terms.mark : seen;
  }
  if (seen > 0) marked(whole, n);
  for (int half = kSumLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) first[l] += first[l + half];
    for (int l = 0; l < half; ++l) second[l] += second[l + half];
  }
  sums[0] = first[0];
  sums[1] = second[0];
}

}  // namespace
}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
