#pragma once
#include <type_traits>

#include "core/bf16.h"

namespace lathe::cuda {

/// An operand as the emulated tensor cores get it: f32 values lose all but 10 bits of mantissa under tf32.
template <class T>
double operand(T value, bool tf32) {
  if constexpr (std::is_same_v<T, float>) {
    if (tf32) return __builtin_bit_cast(float, (__builtin_bit_cast(uint32_t, value) + 0x1000u) & ~0x1FFFu);
  }
  return static_cast<double>(value);
}

}  // namespace lathe::cuda
