#pragma once
// bfloat16: the upper half of a float. Storage only: arithmetic is done in float.

#include <cstdint>
#include <type_traits>

#include "core/hd.h"

namespace lathe {

struct bf16 {
  uint16_t bits = 0;

  bf16() = default;
  /// Nearest, half to even; a NaN stays one.
  template <class T>
  requires std::is_arithmetic_v<T> LATHE_HD explicit bf16(T value)
      : bits(rounded(static_cast<float>(value))) {}

  /// Exact.
  LATHE_HD float to_float() const { return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16); }
  template <class T>
  requires std::is_arithmetic_v<T> LATHE_HD explicit operator T() const { return static_cast<T>(to_float()); }

 private:
  LATHE_HD static uint16_t rounded(float value) {
    const uint32_t word = __builtin_bit_cast(uint32_t, value);
    if ((word & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>(word >> 16 | 0x40u);
    return static_cast<uint16_t>((word + 0x7FFFu + (word >> 16 & 1u)) >> 16);
  }
};
static_assert(sizeof(bf16) == 2 && std::is_trivially_copyable_v<bf16>);

}  // namespace lathe
