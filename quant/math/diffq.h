#pragma once
// DiffQ (Defossez et al. 2022): bits from logits, pseudo quantization noise; methods.md section 3.

#include "quant/math/scalar.h"

namespace lathe::quant {

template <class T>
struct DiffqWidth {
  T bits;          ///< continuous
  T unit;          ///< step of the grid as a share of the range: 1 / (2^bits - 1)
  T dbits, dunit;  ///< derivatives for the logit
};

/// b = min + sigmoid(logit) (max - min), section 3.1.
template <class T>
LATHE_HD_INLINE DiffqWidth<T> diffq_width_of_bits(T logit, T min_bits, T max_bits) {
  const T t = sigmoid(logit);
  const T bits = min_bits + t * (max_bits - min_bits);
  const T power = power_of_two(bits);
  const T unit = T(1) / (power - T(1));
  const T dbits = (max_bits - min_bits) * t * (T(1) - t);
  return {bits, unit, dbits, -T(kLn2) * power * unit * unit * dbits};
}

/// The logarithm of the noise is interpolated instead, section 3.3.
template <class T>
LATHE_HD_INLINE DiffqWidth<T> diffq_width_of_noise(T logit, T min_bits, T max_bits) {
  const T t = sigmoid(logit);
  const T least = -logarithm(power_of_two(max_bits) - T(1)), most = -logarithm(power_of_two(min_bits) - T(1));
  const T unit = exponential(t * least + (T(1) - t) * most);
  const T dunit = unit * (least - most) * t * (T(1) - t);
  const T bits = logarithm(T(1) + T(1) / unit) / T(kLn2);
  return {bits, unit, -dunit / (unit * (unit + T(1)) * T(kLn2)), dunit};
}

template <class T>
LATHE_HD_INLINE T diffq_noisy(T w, T range, T unit, T noise) {
  return w + range * unit * noise;
}

}  // namespace lathe::quant
