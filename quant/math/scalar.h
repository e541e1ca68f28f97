#pragma once
// What the formulas of quantizers are written with, for float and double on the host and in CUDA code, and
// for Frozen (quant/math/frozen.h), which keeps every rounding, clipping and sign as it was: a formula
// differentiates as its straight-through estimator says. The names say which parts are straight-through.
// Files that include this compile without floating-point contraction, so that every path gives the same
// weights.

#include <math.h>

#include "core/hd.h"
#include "core/vector_math.h"

namespace lathe::quant {

/// Half to even (IEEE's default mode, which nobody here changes); gradient 1.
#if defined(__SSE2__) && !defined(__SSE4_1__) && !defined(__CUDA_ARCH__)
// No instruction rounds: adding and taking away the power of two above which there are no fractions does.
LATHE_HD_INLINE float round_ste(float x) {
  const float rounded = ::copysignf((::fabsf(x) + 0x1p23f) - 0x1p23f, x);
  return ::fabsf(x) < 0x1p23f ? rounded : x;
}
LATHE_HD_INLINE double round_ste(double x) {
  const double rounded = ::copysign((::fabs(x) + 0x1p52) - 0x1p52, x);
  return ::fabs(x) < 0x1p52 ? rounded : x;
}
#else
LATHE_HD_INLINE float round_ste(float x) {
  return ::rintf(x);
}
LATHE_HD_INLINE double round_ste(double x) {
  return ::rint(x);
}
#endif

/// Gradient 1.
LATHE_HD_INLINE float floor_ste(float x) {
  return ::floorf(x);
}
LATHE_HD_INLINE double floor_ste(double x) {
  return ::floor(x);
}

/// Gradient 1 for lo <= x <= hi, 0 outside, where the bound takes it.
template <class T>
LATHE_HD_INLINE T clip(T x, T lo, T hi) {
  const T below = x > hi ? hi : x;  // one after the other: a minimum and a maximum
  return below < lo ? lo : below;
}
/// The same value; gradient 1 for x everywhere, none for the bounds.
template <class T>
LATHE_HD_INLINE T clip_ste(T x, T lo, T hi) {
  return clip(x, lo, hi);
}
/// max(x, 0); gradient 1 everywhere.
template <class T>
LATHE_HD_INLINE T relu_ste(T x) {
  return x > T(0) ? x : T(0);
}
/// -1, 0 or 1; no gradient.
LATHE_HD_INLINE float sign(float x) {
  return x == 0.0f ? 0.0f : ::copysignf(1.0f, x);
}
LATHE_HD_INLINE double sign(double x) {
  return x == 0.0 ? 0.0 : ::copysign(1.0, x);
}
/// |x|, with gradient sign(x): 0 at 0.
LATHE_HD_INLINE float magnitude(float x) {
  return ::fabsf(x);
}
LATHE_HD_INLINE double magnitude(double x) {
  return ::fabs(x);
}

LATHE_HD_INLINE float exponential(float x) {
  return math::exp(x);
}
LATHE_HD_INLINE double exponential(double x) {
  return math::exp(x);
}
LATHE_HD_INLINE float logarithm(float x) {
  return math::log(x);
}
LATHE_HD_INLINE double logarithm(double x) {
  return math::log(x);
}
LATHE_HD_INLINE float hyperbolic_tangent(float x) {
  return ::tanhf(x);
}
LATHE_HD_INLINE double hyperbolic_tangent(double x) {
  return ::tanh(x);
}

/// 2^x, exactly for whole x.
LATHE_HD_INLINE float power_of_two(float x) {
  return math::exp2(x);
}
LATHE_HD_INLINE double power_of_two(double x) {
  return math::exp2(x);
}

inline constexpr double kLn2 = 0.69314718055994530942;

template <class T>
LATHE_HD_INLINE T sigmoid(T x) {
  return T(1) / (T(1) + exponential(-x));
}

}  // namespace lathe::quant
