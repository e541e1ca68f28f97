#pragma once
// What both definitions of the updates do on the host: checks of lists, and from options to the numbers that
// the formulas work with, rounded to the tensors' type.

#include <cmath>

#include "core/kernels/optim.h"
#include "core/kernels/optim_math.h"

namespace lathe::kernels {

/// ShapeError unless both lists hold tensors of the same shapes.
template <class Span>
void check_lists(const char* name, std::span<const Tensor> g, const Span& other) {
  LATHE_CHECK(ShapeError, g.size() == other.size(), name, ": lists of ", g.size(), " and ", other.size(),
              " tensors");
  for (size_t i = 0; i < g.size(); ++i) {
    LATHE_CHECK(ShapeError, g[i].shape() == other[i].shape(), name, ": tensor ", i, " has shapes ",
                g[i].shape(), " and ", other[i].shape());
  }
}

template <class T>
SgdScalars<T> scalars_of(const SgdUpdate& update) {
  return {.lr = static_cast<T>(update.lr),
          .momentum = static_cast<T>(update.momentum),
          .weight_decay = static_cast<T>(update.decoupled ? 0 : update.weight_decay),
          .grad_scale = static_cast<T>(update.grad_scale),
          .shrink = static_cast<T>(update.decoupled ? 1 - update.lr * update.weight_decay : 1)};
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

template <class T>
RmspropScalars<T> scalars_of(const RmspropUpdate& update) {
  return {
      .alpha = static_cast<T>(update.alpha),
      .one_minus_alpha = static_cast<T>(1 - update.alpha),
      .momentum = static_cast<T>(update.momentum),
      .weight_decay = static_cast<T>(update.weight_decay),
      .grad_scale = static_cast<T>(update.grad_scale),
      .eps_inside = static_cast<T>(update.tf ? update.eps : 0),
      .eps_outside = static_cast<T>(update.tf ? 0 : update.eps),
      .rate_inside = static_cast<T>(update.tf ? update.lr : 1),
      .rate = static_cast<T>(update.tf ? 1 : update.lr),
  };
}

}  // namespace lathe::kernels
