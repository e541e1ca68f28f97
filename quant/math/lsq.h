#pragma once
// LSQ (Esser et al. 2020) and LSQ+ (Bhalgat et al. 2020), methods.md section 2: clip, then round. LSQ is
// offset 0.

#include "quant/math/decode.h"

namespace lathe::quant {

template <class T>
LATHE_HD_INLINE T lsq_code(T x, T step, T offset, T lo, T hi) {
  return round_ste(clip((x - offset) / step, lo, hi)) + T(0);
}

template <class T>
LATHE_HD_INLINE T lsq_value(T x, T step, T offset, T lo, T hi) {
  return decode_affine(lsq_code(x, step, offset, lo, hi), step) + offset;
}

/// Derivatives of the value, before the gradient scale g = 1 / sqrt(N hi) of step and offset.
template <class T>
struct LsqGradients {
  T x, step, offset;
};
template <class T>
LATHE_HD_INLINE LsqGradients<T> lsq_gradients(T x, T step, T offset, T lo, T hi) {
  const T u = (x - offset) / step;
  if (u < lo) return {T(0), lo, T(1)};
  if (u > hi) return {T(0), hi, T(1)};
  return {T(1), round_ste(u) - u, T(0)};
}

}  // namespace lathe::quant
