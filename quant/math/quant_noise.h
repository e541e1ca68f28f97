#pragma once
// Quant-Noise (Fan et al. 2021); methods.md section 6. A kept element stays float within the quantizer's
// range.

#include "quant/math/decode.h"

namespace lathe::quant {

template <class T>
struct ZeroPointGrid {
  T scale, zero;
};
/// Levels over [lo, hi], stretched to hold 0, with a whole zero point. A range of nothing but 0 has scale 1.
template <class T>
LATHE_HD_INLINE ZeroPointGrid<T> zero_point_grid(T lo, T hi, T levels) {
  const T least = lo < T(0) ? lo : T(0), most = hi > T(0) ? hi : T(0), scale = (most - least) / levels;
  if (!(scale > T(0))) return {T(1), T(0)};
  return {scale, clip(round_ste(-least / scale), T(0), levels) + T(0)};
}

/// 0 to levels = 2^bits - 1.
template <class T>
LATHE_HD_INLINE T zero_point_code(T w, T scale, T zero, T levels) {
  return clip(round_ste(w / scale + zero), T(0), levels) + T(0);
}
template <class T>
LATHE_HD_INLINE T zero_point_value(T w, T scale, T zero, T levels) {
  return decode_zero_point(zero_point_code(w, scale, zero, levels), scale, zero);
}

/// Quantized elements take their quantized value itself (the released code adds a residual to a clipped
/// weight).
template <class T>
LATHE_HD_INLINE T scalar_noise_value(T w, T scale, T zero, T levels, bool keep) {
  return keep ? clip(w, -scale * zero, scale * (levels - zero)) : zero_point_value(w, scale, zero, levels);
}
/// d value / d w: 1 within the range, 0 outside, for kept and quantized elements alike.
template <class T>
LATHE_HD_INLINE T scalar_noise_gradient(T w, T scale, T zero, T levels) {
  return w >= -scale * zero && w <= scale * (levels - zero) ? T(1) : T(0);
}

/// Asymmetric uniform quantizer with a learned step and zero point (Nagel et al. 2022): round, then clip.
template <class T>
LATHE_HD_INLINE T shifted_code(T x, T scale, T zero, T levels) {
  return clip(round_ste(x / scale) + zero, T(0), levels);
}
/// The integer zero point of a learned one.
template <class T>
LATHE_HD_INLINE T whole_zero(T zero, T levels) {
  return clip(round_ste(zero), T(0), levels);
}
template <class T>
LATHE_HD_INLINE T shifted_value(T x, T scale, T zero, T levels) {
  return decode_zero_point(shifted_code(x, scale, zero, levels), scale, zero);
}
template <class T>
struct ShiftedGradients {
  T x, scale, zero;
};
template <class T>
LATHE_HD_INLINE ShiftedGradients<T> shifted_gradients(T x, T scale, T zero, T levels) {
  const T unclipped = round_ste(x / scale) + zero, code = clip(unclipped, T(0), levels);
  if (unclipped != code) return {T(0), code - zero, -scale};
  return {T(1), code - zero - x / scale, T(0)};
}

/// A block that is not dropped grows, so that the mean stays.
template <class T>
LATHE_HD_INLINE T block_noise_value(T w, T p, bool dropped) {
  return dropped ? T(0) : w / (T(1) - p);
}

}  // namespace lathe::quant
