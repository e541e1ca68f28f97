#pragma once
// Normalisations over channels-last tensors.

#include "autograd/var.h"

namespace lathe {

struct BatchNormOptions {
  bool training = true;
  double momentum = 0.1;  ///< weight of the new batch in the running statistics
  double eps = 1e-5;
  bool relu = false;  ///< y = relu(bn(x) + residual), fused
};
/// Over every axis but the last: x (..., C); gamma, beta (C) or both undefined; running_mean, running_var
/// (C), updated in place in training (unbiased variance) unless undefined or recomputing(), read in
/// evaluation. `residual` (x's shape) is added before the activation; undefined for none. Equals the
/// composition relu(add(batch_norm(x), residual)).
Var batch_norm(const Var& x, const Var& gamma, const Var& beta, Tensor running_mean, Tensor running_var,
               const BatchNormOptions& options, const Var& residual = {});

/// What batch_norm asks of its operands, any of which but x may be undefined: throws what it would throw.
void check_batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& running_mean,
                      const Tensor& running_var, const BatchNormOptions& options, const Tensor& residual);

/// Over the last axis; gamma and beta (C) or undefined.
Var layer_norm(const Var& x, const Var& gamma, const Var& beta, double eps = 1e-5);

/// x (N, ..., C): statistics per sample and group of C / groups consecutive channels.
Var group_norm(const Var& x, const Var& gamma, const Var& beta, int64_t groups, double eps = 1e-5);

}  // namespace lathe
