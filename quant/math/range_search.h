#pragma once
// Ranges narrower than [min, max]: percentiles, and the least squared error among shrunk ranges
// (post-training baselines, methods.md section 10). Of the released search only the candidates' number is
// kept: it adds 0.5 to the largest magnitude, which for weights, all far below 0.5, leaves few candidates
// inside the range.

#include "quant/math/absmax.h"
#include "quant/math/minmax.h"

namespace lathe::quant {

inline constexpr int kRangeCandidates = 100;

/// Bound number k of 1 to kRangeCandidates: from `anchor`, which stays in the range, to `bound` itself.
template <class T>
LATHE_HD_INLINE T range_candidate(T anchor, T bound, int k) {
  return k == kRangeCandidates ? bound : anchor + (bound - anchor) * (T(k) / T(kRangeCandidates));
}

/// The point of [lo, hi] that is nearest to 0.
template <class T>
LATHE_HD_INLINE T range_anchor(T lo, T hi) {
  return clip(T(0), lo, hi);
}

/// The candidate with the least error, of equals the widest.
template <class Error>
LATHE_HD_INLINE int best_candidate(const Error& error) {
  int best = kRangeCandidates;
  double least = error(best);
  for (int k = kRangeCandidates - 1; k > 0; --k) {
    const double now = error(k);
    if (!(now < least)) continue;
    least = now;
    best = k;
  }
  return best;
}

}  // namespace lathe::quant
