#pragma once
// From an update's options to the numbers its formula works with, rounded to the tensors' type.

#include <cmath>

#include "core/kernels/optim.h"
#include "core/kernels/optim_math.h"

namespace lathe::kernels {

template <class T>
SgdScalars<T> scalars_of(const SgdUpdate& update) {
  return {static_cast<T>(update.lr), static_cast<T>(update.momentum), static_cast<T>(update.weight_decay),
          static_cast<T>(update.grad_scale)};
}

/// Of a tensor's update number `step` >= 1.
template <class T>
AdamScalars<T> scalars_of(const AdamUpdate& update, int64_t step) {
  const double t = static_cast<double>(step);
  return {
      .beta1 = static_cast<T>(update.beta1),
      .one_minus_beta1 = static_cast<T>(1 - update.beta1),
      .beta2 = static_cast<T>(update.beta2),
      .one_minus_beta2 = static_cast<T>(1 - update.beta2),
      .eps = static_cast<T>(update.eps),
      .grad_scale = static_cast<T>(update.grad_scale),
      .l2 = static_cast<T>(update.decoupled ? 0 : update.weight_decay),
      .shrink = static_cast<T>(update.decoupled ? 1 - update.lr * update.weight_decay : 1),
      .rate = static_cast<T>(update.lr / (1 - std::pow(update.beta1, t))),
      .root = static_cast<T>(1 / std::sqrt(1 - std::pow(update.beta2, t))),
  };
}

}  // namespace lathe::kernels
