#pragma once
// Symmetric uniform quantization, scale = max |w| / (2^(bits-1) - 1) (osc_reg's quantizer; methods.md
// section 1.2).

#include "quant/math/decode.h"

namespace lathe::quant {

/// -(2^(bits-1) - 1) to 2^(bits-1) - 1; 0 where scale is 0. `most` is that bound: w / scale may round above
/// it.
template <class T>
LATHE_HD_INLINE T absmax_code(T w, T scale, T most) {
  return scale > T(0) ? clip_ste(round_ste(w / scale), -most, most) + T(0) : T(0);
}

template <class T>
LATHE_HD_INLINE T absmax_value(T w, T scale, T most) {
  return decode_affine(absmax_code(w, scale, most), scale);
}

/// d value / d scale
template <class T>
LATHE_HD_INLINE T absmax_dscale(T w, T scale, T most) {
  return scale > T(0) ? absmax_code(w, scale, most) - w / scale : T(0);
}

}  // namespace lathe::quant
