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
  const T u = (x - offset) / step, clipped = clip(u, lo, hi);
  const bool inside = clipped == u;
  return {inside ? T(1) : T(0), round_ste(clipped) - (inside ? u : T(0)), inside ? T(0) : T(1)};
}

}  // namespace lathe::quant
