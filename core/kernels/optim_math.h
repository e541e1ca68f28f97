#pragma once
// Scalar formulas of the optimizers, one place for every device.

#include "core/vector_math.h"

namespace lathe {

/// What gradients of this norm are multiplied with so that it is at most `limit`. The small addend is
/// torch.nn.utils.clip_grad_norm_'s: the recipes were tuned with it.
LATHE_HD_INLINE double clip_coefficient(double norm, double limit) {
  const double factor = limit / (norm + 1e-6);
  return factor < 1.0 ? factor : 1.0;
}

template <class T>
struct SgdScalars {
  T lr, momentum, weight_decay, grad_scale;
  T shrink;  ///< multiplies p first; 1 leaves every bit as it is
};

/// One weight without momentum.
template <class T>
LATHE_HD_INLINE void sgd_element(T& p, T g, const SgdScalars<T>& s) {
  const T gradient = s.grad_scale * g + s.weight_decay * p;
  if (s.shrink != T(1)) p *= s.shrink;
  p -= s.lr * gradient;
}
template <bool nesterov, class T>
LATHE_HD_INLINE void sgd_element(T& p, T g, T& momentum, const SgdScalars<T>& s) {
  const T gradient = s.grad_scale * g + s.weight_decay * p;
  if (s.shrink != T(1)) p *= s.shrink;
  momentum = s.momentum * momentum + gradient;
  if constexpr (nesterov) {
    p -= s.lr * (gradient + s.momentum * momentum);
  } else {
    p -= s.lr * momentum;
  }
}

template <class T>
struct AdamScalars {
  T beta1, one_minus_beta1, beta2, one_minus_beta2, eps, grad_scale;
  T l2;      ///< added to the gradient, times p
  T shrink;  ///< multiplies p first
  T rate;    ///< lr / (1 - beta1^t)
  T root;    ///< 1 / sqrt(1 - beta2^t), so that sqrt(vhat) = root sqrt(v)
};

template <class T>
LATHE_HD_INLINE void adam_element(T& p, T g, T& m, T& v, const AdamScalars<T>& s) {
  const T gradient = s.grad_scale * g + s.l2 * p;
  const T weight = s.shrink * p;
  m = s.beta1 * m + s.one_minus_beta1 * gradient;
  v = s.beta2 * v + s.one_minus_beta2 * gradient * gradient;
  p = weight - s.rate * m / (s.root * math::sqrt(v) + s.eps);
}

template <class T>
struct RmspropScalars {
  T alpha, one_minus_alpha, momentum, weight_decay, grad_scale;
  T eps_inside, eps_outside;  ///< of the root: one of them is 0
  T rate_inside, rate;        ///< of the momentum: one of them is lr, the other 1
};

/// One weight; without a momentum its buffer is a zero that is thrown away.
template <class T>
LATHE_HD_INLINE void rmsprop_element(T& p, T g, T& v, T& momentum, const RmspropScalars<T>& s) {
  const T gradient = s.grad_scale * g + s.weight_decay * p;
  v = s.alpha * v + s.one_minus_alpha * gradient * gradient;
  const T root = math::sqrt(v + s.eps_inside) + s.eps_outside;
  momentum = s.momentum * momentum + s.rate_inside * gradient / root;
  p -= s.rate * momentum;
}

}  // namespace lathe
