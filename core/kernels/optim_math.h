#pragma once
// Scalar formulas of the optimizers that more than one place needs.

#include <cmath>

#include "core/hd.h"

namespace lathe {

/// What gradients of this norm are multiplied with so that it is at most `limit`. The small addend is
/// torch.nn.utils.clip_grad_norm_'s: the recipes were tuned with it.
LATHE_HD inline double clip_coefficient(double norm, double limit) {
  const double factor = limit / (norm + 1e-6);
  return factor < 1.0 ? factor : 1.0;
}

}  // namespace lathe
