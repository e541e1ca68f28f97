#pragma once
// What the formulas of quantizers are written with: for float and double, on the host and in CUDA code.
// Files that include this compile without floating-point contraction, so that every path gives the same
// weights.

#include <math.h>

#include "core/hd.h"

namespace lathe::quant {

/// Half to even (methods.md section 0): IEEE's default mode, which nobody here changes.
LATHE_HD inline float round_even(float x) {
  return rintf(x);
}
LATHE_HD inline double round_even(double x) {
  return rint(x);
}

template <class T>
LATHE_HD T clip(T x, T lo, T hi) {
  return x < lo ? lo : (x > hi ? hi : x);
}

/// -1, 0 or 1.
template <class T>
LATHE_HD T sign(T x) {
  return static_cast<T>((x > T(0)) - (x < T(0)));
}

/// 2^n for 0 <= n < 31, exactly.
template <class T>
LATHE_HD T power_of_two(int n) {
  return static_cast<T>(1 << n);
}

}  // namespace lathe::quant
