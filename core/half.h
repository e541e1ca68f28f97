#pragma once
// IEEE half precision as bits.

#include <bit>
#include <cstdint>

namespace lathe {

/// Exact.
constexpr float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 31u, fraction = half & 0x3FFu;
  if (exponent == 0) {  // zero or subnormal: a multiple of 2^-24, exact in float
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t widened = exponent == 31 ? 255u : exponent + 112u;  // biases 15 and 127
  return std::bit_cast<float>(sign | widened << 23 | fraction << 13);
}

/// Nearest, half to even; infinite from 65520 on.
constexpr uint16_t float_to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value), magnitude = bits & 0x7FFFFFFFu;
  const uint32_t sign = bits >> 16 & 0x8000u;
  uint32_t half = 0x7C00u;  // infinite
  if (magnitude > 0x7F800000u) {
    half = 0x7E00u;  // NaN
  } else if (magnitude < 0x38800000u) {
    // Subnormal: beside 0.5 a float is a multiple of 2^-24, so that the addition rounds.
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3F000000u;
  } else if (magnitude < 0x477FF000u) {
    half = (magnitude + 0xFFFu + (magnitude >> 13 & 1u) - 0x38000000u) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
}

}  // namespace lathe
