#pragma once
// Oscillation frequency and freezing (Nagel et al. 2022); methods.md sections 5.4 and 11.

#include "quant/math/scalar.h"

namespace lathe::quant {

/// A weight's history of codes.
template <class T>
struct Oscillation {
  T previous;   ///< code of the last step
  T direction;  ///< of the last change: -1, 0 (none yet) or 1
  T frequency;  ///< moving average of reversals
  T average;    ///< moving average of codes
  T frozen;     ///< 1 once the weight stays at frozen_code
  T frozen_code;
};

/// One step with code x; returns the code that counts. A threshold of 0 freezes nothing.
template <class T>
LATHE_HD_INLINE T oscillation_step(Oscillation<T>& o, T x, T momentum, T threshold) {
  if (o.frozen != T(0)) x = o.frozen_code;
  const T now = sign(o.previous - x);
  const T reversed = o.direction * now == T(-1) ? T(1) : T(0);
  o.frequency = momentum * reversed + (T(1) - momentum) * o.frequency;
  if (now != T(0)) o.direction = now;
  o.previous = x;
  if (threshold > T(0) && o.frequency > threshold) {
    o.frozen = T(1);
    o.frozen_code = round_ste(o.average);
  }
  o.average = momentum * x + (T(1) - momentum) * o.average;
  return x;
}

}  // namespace lathe::quant
