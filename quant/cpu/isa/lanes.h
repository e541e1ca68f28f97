#pragma once
// Sums for files compiled per instruction set. Everything has internal linkage: see core/cpu/isa.h.

#include <cstdint>

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

constexpr int kSumLanes = 32;  // more than 16: shorter loops are unrolled before they can be vectorised

/// sums[0], sums[1] = the sums of weight[i] a and weight[i] b over [0, n), where fn(i, a, b): 32 interleaved
/// lanes, added up pairwise; fewer than 32 in order. A block's numbers are in T, so that the loop that makes
/// them has one type. after(first, last) follows on each block of them, [first, last).
template <class T, class Fn, class After>
[[gnu::always_inline]] inline void sum_two(double* sums, const T* weight, int64_t n, const Fn& fn,
                                           const After& after) {
  if (n < kSumLanes) {
    sums[0] = sums[1] = 0;
    for (int64_t i = 0; i < n; ++i) {
      T a, b;
      fn(i, a, b);
      sums[0] += static_cast<double>(weight[i]) * static_cast<double>(a);
      sums[1] += static_cast<double>(weight[i]) * static_cast<double>(b);
    }
    after(0, n);
    return;
  }
  double first[kSumLanes] = {}, second[kSumLanes] = {};
  const int64_t whole = n / kSumLanes * kSumLanes;
  for (int64_t i = 0; i < whole; i += kSumLanes) {
    T a[kSumLanes], b[kSumLanes];
    for (int l = 0; l < kSumLanes; ++l) fn(i + l, a[l], b[l]);
    for (int l = 0; l < kSumLanes; ++l)
      first[l] += static_cast<double>(weight[i + l]) * static_cast<double>(a[l]);
    for (int l = 0; l < kSumLanes; ++l)
      second[l] += static_cast<double>(weight[i + l]) * static_cast<double>(b[l]);
    after(i, i + kSumLanes);
  }
  for (int64_t i = whole; i < n; ++i) {
    T a, b;
    fn(i, a, b);
    first[i - whole] += static_cast<double>(weight[i]) * static_cast<double>(a);
    second[i - whole] += static_cast<double>(weight[i]) * static_cast<double>(b);
  }
  after(whole, n);
  for (int half = kSumLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) first[l] += first[l + half];
    for (int l = 0; l < half; ++l) second[l] += second[l + half];
  }
  sums[0] = first[0];
  sums[1] = second[0];
}
template <class T, class Fn>
[[gnu::always_inline]] inline void sum_two(double* sums, const T* weight, int64_t n, const Fn& fn) {
  sum_two(sums, weight, n, fn, [](int64_t, int64_t) __attribute__((always_inline)){});
}

}  // namespace
}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
