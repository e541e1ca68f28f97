#pragma once
// Rounding to IEEE half precision; straight-through in training.

#include "core/half.h"
#include "quant/math/scalar.h"

namespace lathe::quant {

/// From here on a value rounds to infinity; the largest half is 65504.
inline constexpr double kBeyondHalf = 65520;

LATHE_HD_INLINE float half_round_ste(float x) {
  return half_to_float(float_to_half(x));
}
/// What is stored is rounded from single precision.
LATHE_HD_INLINE double half_round_ste(double x) {
  return half_round_ste(static_cast<float>(x));
}

}  // namespace lathe::quant
