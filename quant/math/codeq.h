#pragma once
// CoDeQ's dead-zone quantizer; methods.md section 4.2 and 4.3. The dead zone is 0, values beyond it are the
// centres of bins.

#include "quant/math/decode.h"

namespace lathe::quant {

/// What a tensor's elements share.
template <class T>
struct CodeqGrid {
  T amplitude;  ///< A, the 0.99-quantile of |w|
  T width;      ///< d, of the whole dead zone
  T most;       ///< Q, the largest code
  T step;       ///< s
  T shift;      ///< h = (d - s) / 2
};

/// The dead zone's width from its logit.
template <class T>
LATHE_HD_INLINE T codeq_width(T amplitude, T logit) {
  return T(2) * amplitude * (T(1) - magnitude(hyperbolic_tangent(logit)));
}

/// min_bits to max_bits from the bit logit, whole.
template <class T>
LATHE_HD_INLINE T codeq_bits(T logit, T min_bits, T max_bits) {
  return round_ste((max_bits - min_bits) * magnitude(hyperbolic_tangent(logit)) + min_bits);
}

/// `eps` is added to the step (1e-8 as published); `least` bounds it from below (0: as published).
template <class T>
LATHE_HD_INLINE CodeqGrid<T> codeq_grid(T amplitude, T width, T bits, T eps, T least) {
  const T most = power_of_two(bits - T(1)) - T(1);
  const T step = clip((amplitude - width / T(2)) / (most - T(0.5)) + eps, least, T(3e38));
  return {amplitude, width, most, step, (width - step) / T(2)};
}

/// The value in units of the step, before rounding.
template <class T>
LATHE_HD_INLINE T codeq_position(T w, const CodeqGrid<T>& grid) {
  return sign(w) * relu_ste(magnitude(w) - grid.shift) / grid.step;
}

template <class T>
LATHE_HD_INLINE T codeq_code(T w, const CodeqGrid<T>& grid) {
  return clip_ste(round_ste(codeq_position(w, grid)), -grid.most, grid.most) + T(0);
}

template <class T>
LATHE_HD_INLINE T codeq_value(T w, const CodeqGrid<T>& grid) {
  return decode_dead_zone(codeq_code(w, grid), grid.step, grid.shift);
}

/// Derivatives of the value: for the step, its share of the shift included, and for the shift alone by half.
template <class T>
struct CodeqGradients {
  T step, half_shift;
};
/// Of the value of w > 0, and by the other sign of that of -w: rounding to even is symmetric.
template <class T>
LATHE_HD_INLINE CodeqGradients<T> codeq_size_gradients(T size, const CodeqGrid<T>& grid) {
  const T position = relu_ste(size - grid.shift) / grid.step, code = round_ste(position);
  const T q = code < grid.most ? code : grid.most, half = q == T(0) ? T(0.5) : T(0);
  return {q - position + half, -half};
}
template <class T>
LATHE_HD_INLINE CodeqGradients<T> codeq_gradients(T w, const CodeqGrid<T>& grid) {
  const CodeqGradients<T> of_size = codeq_size_gradients(magnitude(w), grid);
  return {sign(w) * of_size.step, sign(w) * of_size.half_shift};
}

}  // namespace lathe::quant
