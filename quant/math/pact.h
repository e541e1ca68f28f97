#pragma once
// PACT (Choi et al. 2018): a learned clip above activations; methods.md section 12.

#include "quant/math/scalar.h"

namespace lathe::quant {

/// `levels` = 2^bits - 1.
template <class T>
LATHE_HD_INLINE T pact_value(T x, T alpha, T levels) {
  return round_ste(clip(x, T(0), alpha) * levels / alpha) * alpha / levels;
}

template <class T>
struct PactGradients {
  T x, alpha;
};
/// `residual`: with the rounding error's share of alpha's gradient, which the paper leaves out.
template <class T>
LATHE_HD_INLINE PactGradients<T> pact_gradients(T x, T alpha, T levels, bool residual) {
  if (x >= alpha) return {T(0), T(1)};
  if (x <= T(0)) return {T(0), T(0)};
  const T u = x * levels / alpha;
  return {T(1), residual ? (round_ste(u) - u) / levels : T(0)};
}

}  // namespace lathe::quant
