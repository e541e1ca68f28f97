#pragma once
// DQ (Uhlich et al. 2020): learned step and range; methods.md section 7.

#include "quant/math/decode.h"

namespace lathe::quant {

/// The released code rounds the step to a power of two.
template <class T>
LATHE_HD_INLINE T dq_power_step(T step) {
  return power_of_two(round_ste(logarithm(step) / T(kLn2)));
}

/// Released form: saturated values snap to the grid too. lo is -range, or 0 for unsigned values.
template <class T>
LATHE_HD_INLINE T dq_code(T x, T step, T lo, T range) {
  return round_ste(clip(x, lo, range) / step) + T(0);
}
/// The paper's U3 within its range; ties go away from 0.
template <class T>
LATHE_HD_INLINE T dq_u3_code(T x, T step) {
  return sign(x) * floor_ste(magnitude(x) / step + T(0.5)) + T(0);
}
/// The largest code.
template <class T>
LATHE_HD_INLINE T dq_most(T step, T range) {
  return round_ste(range / step);
}
/// A range that is a code's value, so that saturated values of U3 have a code; gradient 1 for the range
/// alone.
template <class T>
LATHE_HD_INLINE T dq_whole_range(T step, T range) {
  return decode_affine(dq_most(step, range), step);
}
/// U3's code within that range.
template <class T>
LATHE_HD_INLINE T dq_u3_whole_code(T x, T step, T range) {
  return magnitude(x) <= dq_whole_range(step, range) ? dq_u3_code(x, step) : sign(x) * dq_most(step, range);
}
/// Bits of codes up to `most` in magnitude, at least `least`; `signs` is 1 where values are signed, else 0.
template <class T>
LATHE_HD_INLINE T dq_width(T most, T signs, T least) {
  const T bits = -floor_ste(-(logarithm(most + T(1)) / T(kLn2) + signs));
  return clip(bits, least, T(64));
}
template <class T>
LATHE_HD_INLINE T dq_width_gradient(T most, T signs, T least) {
  return logarithm(most + T(1)) / T(kLn2) + signs < least ? T(0) : T(1) / ((most + T(1)) * T(kLn2));
}

/// U3: saturated values take the range itself.
template <class T>
LATHE_HD_INLINE T dq_u3_value(T x, T step, T range) {
  return magnitude(x) <= range ? decode_affine(dq_u3_code(x, step), step) : sign(x) * range;
}

/// Step and range where they mean something: the bounds of the released code, and codes up to `least_code` to
/// `most_code`. In f32 whatever a run computes in, as codes are.
struct DqPair {
  float step, range;
};
inline constexpr float kDqLeast = 0x1p-8f, kDqMostStep = 1;
LATHE_HD_INLINE DqPair dq_bounded(float step, float range, bool power_of_two, float least_code,
                                  float most_code) {
  constexpr float kMostRange = 127, kGap = 1e-5f;
  range = clip(range, kDqLeast, kMostRange);
  step = clip(step, kDqLeast, kDqMostStep);
  if (step > range - kGap) step = range - kGap;
  const float unit = power_of_two ? dq_power_step(step) : step;
  return {step, clip(range, unit * least_code, unit * most_code)};
}

/// Bits of `count` elements' codes and the derivatives for step and range, in double.
struct DqSize {
  double bits, step, range;
};
LATHE_HD_INLINE DqSize dq_size(double raw, double range, double count, bool power_of_two, bool is_signed) {
  const double unit = power_of_two ? dq_power_step(raw) : raw, most = dq_most(unit, range);
  const double signs = is_signed ? 1 : 0, least = is_signed ? 2 : 1;
  const double slope = count * dq_width_gradient(most, signs, least);
  return {count * dq_width(most, signs, least), slope * -range / (unit * raw), slope / unit};
}

template <class T>
struct DqGradients {
  T x, step, range;
};
template <class T>
LATHE_HD_INLINE DqGradients<T> dq_gradients(T x, T step, T lo, T range) {
  const T clipped = clip(x, lo, range);
  const T residual = round_ste(clipped / step) - clipped / step;
  if (x > range) return {T(0), residual, T(1)};
  if (x < lo) return {T(0), residual, lo < T(0) ? T(-1) : T(0)};
  return {T(1), residual, T(0)};
}
template <class T>
LATHE_HD_INLINE DqGradients<T> dq_u3_gradients(T x, T step, T range) {
  if (magnitude(x) > range) return {T(0), T(0), sign(x)};
  return {T(1), dq_u3_code(x, step) - x / step, T(0)};
}

}  // namespace lathe::quant
