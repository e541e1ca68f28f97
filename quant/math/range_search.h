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

}  // namespace lathe::quant
