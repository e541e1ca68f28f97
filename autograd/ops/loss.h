#pragma once
// Losses.

#include "autograd/var.h"
#include "core/kernels/loss.h"  // Reduction

namespace lathe {

struct CrossEntropyOptions {
  Reduction reduction = Reduction::Mean;
  double label_smoothing = 0;   ///< (1 - s) one_hot + s / classes
  int64_t ignore_index = -100;  ///< rows with this target count neither in the sum nor in the mean
  Tensor class_weights;         ///< (classes) or undefined; Mean divides by the sum of the targets' weights
};
/// logits (..., classes), targets (...) i64. ShapeError for a target outside [0, classes) that is not
/// ignore_index. When every row is ignored, Mean is 0 with zero gradients.
Var cross_entropy(const Var& logits, const Tensor& targets, const CrossEntropyOptions& options = {});

/// mean over rows of -sum_c p_c log_softmax(logits)_c; targets (..., classes), the logits' dtype.
Var soft_cross_entropy(const Var& logits, const Tensor& targets);

Var l1_loss(const Var& x, const Var& y, Reduction reduction = Reduction::Mean);  ///< gradient 0 where x = y
Var mse_loss(const Var& x, const Var& y, Reduction reduction = Reduction::Mean);
Var bce_with_logits(const Var& logits, const Var& targets, Reduction reduction = Reduction::Mean);

}  // namespace lathe
