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

}  // namespace lathe
