#pragma once
// Elementary functions for loops. In f32 they are branch-free polynomials good to about 2 ulp, so that a loop
// over them vectorises; in f64, and in f32 where a libm name is used, they are libm's.
// NaN gives NaN; overflow gives infinity as libm does. The coefficients interpolate at Chebyshev nodes.

#include <cstdint>

#include <math.h>

#include "core/hd.h"

namespace lathe::math {

LATHE_HD_INLINE double exp(double x) {
  return ::exp(x);
}
LATHE_HD_INLINE double exp2(double x) {
  return ::exp2(x);
}
LATHE_HD_INLINE double log(double x) {
  return ::log(x);
}
LATHE_HD_INLINE double log1p(double x) {
  return ::log1p(x);
}
LATHE_HD_INLINE double tanh(double x) {
  return ::tanh(x);
}
LATHE_HD_INLINE double erf(double x) {
  return ::erf(x);
}

/// log(x 2^-shift) for a positive normal x.
LATHE_HD_INLINE float log_normal(float x, float shift = 0.0f) {
  // x = m 2^e with m in [sqrt 1/2, sqrt 2): subtracting sqrt 1/2's bits carries into the exponent at that
  // bound.
  const int32_t bits = __builtin_bit_cast(int32_t, x);
  const int32_t e = (bits - 0x3F3504F3) >> 23;
  const float f = __builtin_bit_cast(float, bits - (e << 23)) - 1.0f;
  const float n = static_cast<float>(e) - shift;
  float p = 0x1.1d8ea6p-4f;
  p = p * f - 0x1.d635bcp-4f;
  p = p * f + 0x1.dea282p-4f;
  p = p * f - 0x1.fcf4c6p-4f;
  p = p * f + 0x1.23d21ap-3f;
  p = p * f - 0x1.555b4ap-3f;
  p = p * f + 0x1.999d5ap-3f;
  p = p * f - 0x1.fffffcp-3f;
  p = p * f + 0x1.555554p-2f;
  // n ln 2's high part is exact; small terms first.
  return f + ((f * f * (f * p - 0.5f)) + n * 0x1.7f7d1cp-20f) + n * 0x1.62e4p-1f;
}

#if defined(__CUDA_ARCH__) && !defined(LATHE_HOST_MATH)  // which asks for the host's bits
LATHE_HD_INLINE float exp(float x) {
  return ::expf(x);
}
LATHE_HD_INLINE float log(float x) {
  return ::logf(x);
}
LATHE_HD_INLINE float log1p(float x) {
  return ::log1pf(x);
}
LATHE_HD_INLINE float tanh(float x) {
  return ::tanhf(x);
}
LATHE_HD_INLINE float erf(float x) {
  return ::erff(x);
}
LATHE_HD_INLINE float exp2(float x) {
  return ::exp2f(x);
}
#else

/// 2^n in two factors: n reaches past the range of one exponent at both ends. x 2^n
LATHE_HD_INLINE float scale_by_power(float x, int32_t n) {
  const int32_t half = n >> 1;
  const float s1 = __builtin_bit_cast(float, static_cast<int32_t>(static_cast<uint32_t>(half + 127) << 23));
  const float s2 =
      __builtin_bit_cast(float, static_cast<int32_t>(static_cast<uint32_t>(n - half + 127) << 23));
  return x * s1 * s2;
}

/// exp(x) = p 2^k: returns p. Far beyond the range of floats k wraps round.
LATHE_HD_INLINE float exp_parts(float x, int32_t& k) {
  // Adding 1.5 * 2^23 rounds to the nearest integer n and leaves n in the low bits.
  const float shifted = x * 1.44269504f + 0x1.8p23f;
  const float n = shifted - 0x1.8p23f;
  const float r = (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;  // x - n ln 2; the first product is exact
  float p = 0x1.6d117cp-10f;
  p = p * r + 0x1.120be2p-7f;
  p = p * r + 0x1.555518p-5f;
  p = p * r + 0x1.5554dcp-3f;
  p = p * r + 0.5f;
  k = static_cast<int32_t>(__builtin_bit_cast(uint32_t, shifted) - __builtin_bit_cast(uint32_t, 0x1.8p23f));
  return (p * r) * r + r + 1.0f;
}

LATHE_HD_INLINE float exp(float x) {
  // Beyond these the result is infinite or rounds to zero.
  x = x > 89.0f ? 89.0f : x;
  x = x < -104.0f ? -104.0f : x;
  int32_t k = 0;
  const float p = exp_parts(x, k);
  return scale_by_power(p, k);
}

/// 2^x, exactly for whole x.
LATHE_HD_INLINE float exp2(float x) {
  // Beyond these the result is infinite or rounds to zero.
  x = x > 129.0f ? 129.0f : x;
  x = x < -151.0f ? -151.0f : x;
  const float shifted = x + 0x1.8p23f;  // as in exp
  const float r = x - (shifted - 0x1.8p23f);
  float p = 0x1.44138ap-13f;
  p = p * r + 0x1.5f0890p-10f;
  p = p * r + 0x1.3b2a54p-7f;
  p = p * r + 0x1.c6af6cp-5f;
  p = p * r + 0x1.ebfbe0p-3f;
  p = p * r + 0x1.62e430p-1f;
  const int32_t k = __builtin_bit_cast(int32_t, shifted) - __builtin_bit_cast(int32_t, 0x1.8p23f);
  return scale_by_power(p * r + 1.0f, k);
}

LATHE_HD_INLINE float log(float x) {
  const bool subnormal = x < 0x1p-126f;
  const float y = log_normal(subnormal ? x * 0x1p23f : x, subnormal ? 23.0f : 0.0f);
  const float finite = x > 3.40282347e38f ? x : y;  // infinity
  const float positive = x > 0.0f ? finite : -__builtin_inff();
  return x >= 0.0f ? positive : __builtin_nanf("");
}

/// log(1 + x) for x >= 0
LATHE_HD_INLINE float log1p(float x) {
  const float u = 1.0f + x;
  return log(u) + (x - (u - 1.0f)) / u;  // the second term is what 1 + x lost in rounding
}

LATHE_HD_INLINE float tanh(float x) {
  const float t = ::fabsf(x);
  const float s = x * x;
  float p = -0x1.8c2d0ap-8f;
  p = p * s + 0x1.576e30p-6f;
  p = p * s - 0x1.b91582p-5f;
  p = p * s + 0x1.110dd8p-3f;
  p = p * s - 0x1.555552p-2f;
  const float small = x + x * s * p;  // for s < 0.4
  const float large = ::copysignf(1.0f - 2.0f / (exp(2.0f * t) + 1.0f), x);
  return t < 0.625f ? small : large;
}

LATHE_HD_INLINE float erf(float x) {
  const float t = ::fabsf(x) > 4.0f ? 4.0f : ::fabsf(x);  // erfc(4) is below half an ulp of 1
  const float s = x * x;
  float p = 0x1.4a5690p-14f;
  p = p * s - 0x1.a45088p-11f;
  p = p * s + 0x1.541270p-8f;
  p = p * s - 0x1.b7fabap-6f;
  p = p * s + 0x1.ce2d10p-4f;
  p = p * s - 0x1.81273ep-2f;
  p = p * s + 0x1.06eba8p-3f;
  const float small = x + x * p;  // for |x| < 1
  float q = -0x1.bd58b8p-17f;     // log erfc(t) for 1 <= t <= 4
  q = q * t + 0x1.4c5522p-12f;
  q = q * t - 0x1.c1e29ap-9f;
  q = q * t + 0x1.725b4ap-6f;
  q = q * t - 0x1.a70a1ap-4f;
  q = q * t - 0x1.473d86p-1f;
  q = q * t - 0x1.203a90p+0f;
  q = q * t - 0x1.918d10p-11f;
  const float large = ::copysignf(1.0f - exp(q), x);
  return ::fabsf(x) < 1.0f ? small : large;
}
#endif

/// The standard normal distribution at x.
template <class T>
struct Normal {
  T cdf, density;
};
inline constexpr double kSqrtHalf = 0.70710678118654752440;
inline constexpr double kInvSqrt2Pi = 0.39894228040143267794;

LATHE_HD_INLINE Normal<double> normal(double x) {
  return {0.5 * (1.0 + erf(x * kSqrtHalf)), kInvSqrt2Pi * exp(-0.5 * x * x)};
}
LATHE_HD_INLINE Normal<float> normal(float x) {
#if defined(__CUDA_ARCH__) && !defined(LATHE_HOST_MATH)
  return {0.5f * (1.0f + erf(x * static_cast<float>(kSqrtHalf))),
          static_cast<float>(kInvSqrt2Pi) * exp(-0.5f * x * x)};
#else
  const float t = ::fabsf(x), half_square = -0.5f * x * x;
  int32_t k = 0;
  const float p = exp_parts(half_square, k);
  const float scale = __builtin_bit_cast(float, (static_cast<uint32_t>(k) + 127) << 23);
  const float e = half_square < -87.0f ? 0.0f : p * scale;
  // exp(t^2 / 2) (1 - cdf(t)) for 0 <= t <= 13.5, a polynomial of u = 1 / (1 + 0.4 t) good to 3e-7.
  const float u = 1.0f / (1.0f + 0.4f * t);
  float q = -0x1.47c446p-5f;
  q = q * u + 0x1.9e71d4p-3f;
  q = q * u - 0x1.81ec46p-2f;
  q = q * u + 0x1.043caep-2f;
  q = q * u - 0x1.d31448p-7f;
  q = q * u + 0x1.45cfb2p-3f;
  q = q * u + 0x1.3ec23cp-3f;
  q = q * u + 0x1.478472p-3f;
  q = q * u - 0x1.ac6244p-17f;
  const float beyond = e * q;  // 1 - cdf(t)
  return {x < 0.0f ? beyond : 1.0f - beyond, static_cast<float>(kInvSqrt2Pi) * e};
#endif
}

template <class T>
LATHE_HD_INLINE T sigmoid(T x) {
  return T(1) / (T(1) + exp(-x));
}

LATHE_HD_INLINE float sqrt(float x) {
  return ::sqrtf(x);
}
LATHE_HD_INLINE double sqrt(double x) {
  return ::sqrt(x);
}
LATHE_HD_INLINE float abs(float x) {
  return ::fabsf(x);
}
LATHE_HD_INLINE double abs(double x) {
  return ::fabs(x);
}
LATHE_HD_INLINE float pow(float x, float y) {
  return ::powf(x, y);
}
LATHE_HD_INLINE double pow(double x, double y) {
  return ::pow(x, y);
}

}  // namespace lathe::math
