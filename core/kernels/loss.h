#pragma once
// Losses. One dtype (f32 or f64) but for the i64 targets. A reduced loss has rank 0; so has its dy. Partial
// sums belong to fixed chunks and are added in double in their order.

#include "core/dispatch.h"

namespace lathe {

enum class Reduction : uint8_t { Mean, Sum, None };

struct CrossEntropyFlags {
  Reduction reduction = Reduction::Mean;
  double label_smoothing = 0;
  int64_t ignore_index = -100;
};

/// Losses between two tensors of one shape; l(x, t) per element.
enum class PairLoss : uint8_t {
  L1,             ///< |x - t|, gradient 0 where they are equal
  Mse,            ///< (x - t)^2
  BceWithLogits,  ///< -t log(sigmoid(x)) - (1 - t) log(1 - sigmoid(x))
};

namespace kernels {

/// logits (..., C), targets (...) i64, class_weights w (C) or undefined. With s the smoothing, row r costs
/// (1 - s) w_t (lse - x_t) + s / C sum_c w_c (lse - x_c), and 0 if its target is ignore_index. Mean divides
/// by the sum of w_t over the other rows; without any it is 0. Writes y, lse (rows) and factor (1): what a
/// row's gradient is multiplied with, 1 / that sum or 1. ShapeError names the first target out of range; on a
/// CUDA device, which cannot throw, such a row's loss and gradient are NaN instead.
LATHE_KERNEL(cross_entropy_forward, Tensor& y, Tensor& lse, Tensor& factor, const Tensor& logits,
             const Tensor& targets, const Tensor& class_weights, const CrossEntropyFlags& flags);
LATHE_KERNEL(cross_entropy_backward, Tensor& dlogits, const Tensor& dy, const Tensor& logits,
             const Tensor& lse, const Tensor& factor, const Tensor& targets, const Tensor& class_weights,
             const CrossEntropyFlags& flags);

/// y = mean over rows of sum_c p_c (lse - x_c); targets p and logits x (..., C). Writes lse (rows).
LATHE_KERNEL(soft_cross_entropy_forward, Tensor& y, Tensor& lse, const Tensor& logits, const Tensor& targets);
LATHE_KERNEL(soft_cross_entropy_backward, Tensor& dlogits, const Tensor& dy, const Tensor& logits,
             const Tensor& lse, const Tensor& targets);

LATHE_KERNEL(pair_loss_forward, Tensor& y, const Tensor& x, const Tensor& t, PairLoss loss,
             Reduction reduction);
/// dx and dt; an undefined one is not computed.
LATHE_KERNEL(pair_loss_backward, Tensor& dx, Tensor& dt, const Tensor& dy, const Tensor& x, const Tensor& t,
             PairLoss loss, Reduction reduction);

}  // namespace kernels
}  // namespace lathe
