#pragma once
// The noise of DiffQ as a function of Philox's words. In f32 whatever a run computes in, from + - * and
// square roots alone: the same bits on every processor.

#include <cstdint>

#include "quant/math/scalar.h"

namespace lathe::quant {

// Noise element i lies in row i / 64. A row has 16 blocks of Philox; its element j takes word j / 16 of block
// j % 16, so that vectors of blocks are vectors of elements. Words come in pairs, 0 and 1, 2 and 3: a pair
// makes two normals (Box and Muller 1958), the cosine in the first word's place, the sine in the second's.
inline constexpr int kNoiseBlocks = 16;
inline constexpr int kNoiseRow = 4 * kNoiseBlocks;

/// Philox::to_uniform, inlined everywhere.
LATHE_HD_INLINE float diffq_uniform(uint32_t word) {
  return static_cast<float>(static_cast<int32_t>(word >> 8)) * 0x1p-24f;
}

/// cos and sin of 2 pi turns for |turns| <= 2^20; absolute errors below 2e-7 (for multiples of 2^-24).
LATHE_HD_INLINE void cos_sin_turns(float turns, float& cosine, float& sine) {
  const float shifted = 4.0f * turns + 0x1.8p23f;         // quarters, as in exp
  const float t = turns - (shifted - 0x1.8p23f) * 0.25f;  // within an eighth of a turn; exact
  const float z = t * t;
  float s = -0x1.2d9b40p+6f;
  s = s * z + 0x1.465ec4p+6f;
  s = s * z - 0x1.4abbbap+5f;
  s = (s * z + 0x1.921fb6p+2f) * t;
  float c = 0x1.d9c2e8p+5f;
  c = c * z - 0x1.55c57ap+6f;
  c = c * z + 0x1.03c1dcp+6f;
  c = c * z - 0x1.3bd3ccp+4f;
  c = c * z + 1.0f;
  // A quarter more takes (cos, sin) to (-sin, cos).
  const uint32_t quarters = __builtin_bit_cast(uint32_t, shifted);
  const bool odd = (quarters & 1u) != 0;
  const uint32_t x = __builtin_bit_cast(uint32_t, odd ? s : c), y = __builtin_bit_cast(uint32_t, odd ? c : s);
  cosine = __builtin_bit_cast(float, x ^ (((quarters + 1u) & 2u) << 30));
  sine = __builtin_bit_cast(float, y ^ ((quarters & 2u) << 30));
}

/// Two independent halves of a normal: within 4e-7 of the formula in real numbers, at most sqrt(12 ln 2)
/// = 2.88 (a radius of 24 bits has no farther tail).
LATHE_HD_INLINE void diffq_normals(uint32_t first, uint32_t second, float& cosine, float& sine) {
  const float radius = 0.5f * math::sqrt(-2.0f * math::log_normal(1.0f - diffq_uniform(first)));
  cos_sin_turns(diffq_uniform(second), cosine, sine);
  cosine = radius * cosine;
  sine = radius * sine;
}

}  // namespace lathe::quant
