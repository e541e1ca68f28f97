#pragma once
// DiffQ (Defossez et al. 2022): bits from logits, pseudo quantization noise; methods.md section 3.

#include <cstdint>

#include "core/philox.h"
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

// Noise element i lies in row i / 64. A row has 16 blocks of Philox; its element j takes word j / 16 of block
// j % 16, so that vectors of blocks are vectors of elements. Words come in pairs, 0 and 1, 2 and 3: a pair
// makes two normals (Box and Muller 1958), the cosine in the first word's place, the sine in the second's.
inline constexpr int kNoiseBlocks = 16;
inline constexpr int kNoiseRow = 4 * kNoiseBlocks;

/// Philox::to_uniform, inlined everywhere.
LATHE_HD_INLINE float diffq_uniform(uint32_t word) {
  return static_cast<float>(static_cast<int32_t>(word >> 8)) * 0x1p-24f;
}

/// Two independent halves of a normal. In f32 whatever a run computes in, and the same bits everywhere;
/// within 4e-7 of the formula in real numbers, at most sqrt(6 ln 2) = 2.04 (a radius of 24 bits has no
/// farther tail).
LATHE_HD_INLINE void diffq_normals(uint32_t first, uint32_t second, float& cosine, float& sine) {
  const float radius = 0.5f * math::sqrt(-2.0f * math::log_normal(1.0f - diffq_uniform(first)));
  math::cos_sin_turns(diffq_uniform(second), cosine, sine);
  cosine = radius * cosine;
  sine = radius * sine;
}

}  // namespace lathe::quant
