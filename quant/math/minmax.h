#pragma once
// Asymmetric uniform quantization over [min, max] (DiffQ's QAT, eq. 1; methods.md section 1.1).

#include "quant/math/decode.h"

namespace lathe::quant {

/// 0 to levels = 2^bits - 1; 0 where the range is empty. One division: a rounded reciprocal moves ties.
/// Values beyond a range that a search narrowed saturate, straight-through like the others.
template <class T>
LATHE_HD_INLINE T minmax_code(T w, T levels, T range, T min) {
  return range > T(0) ? clip_ste(round_ste((w - min) / range * levels), T(0), levels) + T(0) : T(0);
}

/// A running bound of activations; `keep` is the share that stays.
LATHE_HD_INLINE double running_bound(double running, double now, double keep) {
  return keep * running + (1 - keep) * now;
}
/// Step of levels over [lo, hi], at least `least` wide.
LATHE_HD_INLINE double level_step(double lo, double hi, double levels, double least) {
  const double range = hi - lo;
  return (range < least ? least : range) / levels;
}

template <class T>
LATHE_HD_INLINE T minmax_value(T w, T levels, T range, T min) {
  return decode_range(minmax_code(w, levels, range, min), levels, range, min);
}

}  // namespace lathe::quant
