#pragma once
// From codes to weights: the formulas of quant/codes.h, as every reader of a packed model computes them. Only
// + - * /, so that every machine gives the same bits.
// Codes are integers: a formula that makes one ends in + 0, because rounding gives -0 and no integer does.

#include "quant/math/scalar.h"

namespace lathe::quant {

template <class T>
LATHE_HD_INLINE T decode_affine(T q, T scale) {
  return scale * q;
}

/// `levels` = 2^bits - 1.
template <class T>
LATHE_HD_INLINE T decode_range(T q, T levels, T range, T min) {
  return q / levels * range + min;
}

template <class T>
LATHE_HD_INLINE T decode_dead_zone(T q, T step, T shift) {
  return step * q + sign(q) * shift;
}

template <class T>
LATHE_HD_INLINE T decode_zero_point(T q, T scale, T zero) {
  return scale * (q - zero);
}

}  // namespace lathe::quant
