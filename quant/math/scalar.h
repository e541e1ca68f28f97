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
LATHE_HD_INLINE float round_ste(float x) {
  return ::rintf(x);
}
LATHE_HD_INLINE double round_ste(double x) {
  return ::rint(x);
}

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
  return x < lo ? lo : (x > hi ? hi : x);
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
template <class T>
LATHE_HD_INLINE T sign(T x) {
  return x > T(0) ? T(1) : (x < T(0) ? T(-1) : T(0));
}
/// |x|, with gradient sign(x): 0 at 0.
template <class T>
LATHE_HD_INLINE T magnitude(T x) {
  return x < T(0) ? -x : x;
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
