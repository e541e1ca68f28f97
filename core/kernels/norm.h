#pragma once
// Normalisations. One dtype (f32 or f64) throughout; on a CUDA device x, y, residual and their gradients may
// be bf16 beside parameters and statistics in f32. Undefined gamma and beta stand for 1 and 0. Outputs may
// not alias inputs and have the right shapes: the op checked them. An undefined output is not computed.

#include "core/dispatch.h"

namespace lathe {

struct BatchNormTraining {
  double momentum = 0.1;
  double eps = 1e-5;
  bool relu = false;
};

struct BatchNormGradient {
  bool training = true;  ///< mean and invstd came from x, else they are constants
  bool relu = false;
};

namespace kernels {

/// x (..., C) -> y = act((x - mean) invstd gamma + beta + residual), with the statistics of x over all axes
/// but the last written to mean and invstd (C), biased variance. running_mean, running_var (C; both or
/// neither defined) move by `momentum` towards the mean and the unbiased variance. At least two rows.
LATHE_KERNEL(batch_norm_training, Tensor& y, Tensor& mean, Tensor& invstd, Tensor& running_mean,
             Tensor& running_var, const Tensor& x, const Tensor& gamma, const Tensor& beta,
             const Tensor& residual, const BatchNormTraining& options);
/// The same map with given mean and invstd (C).
LATHE_KERNEL(batch_norm_apply, Tensor& y, const Tensor& x, const Tensor& mean, const Tensor& invstd,
             const Tensor& gamma, const Tensor& beta, const Tensor& residual, bool relu);
/// Gradients of either. With relu, y is the forward's output and masks dy; else y may be undefined.
/// dresidual is the masked dy.
LATHE_KERNEL(batch_norm_backward, Tensor& dx, Tensor& dgamma, Tensor& dbeta, Tensor& dresidual,
             const Tensor& dy, const Tensor& x, const Tensor& y, const Tensor& mean, const Tensor& invstd,
             const Tensor& gamma, const BatchNormGradient& options);
/// invstd = 1 / sqrt(var + eps), elementwise.
LATHE_KERNEL(inverse_std, Tensor& invstd, const Tensor& var, double eps);

/// Over the last axis of x (..., C); mean and invstd hold one value per row.
LATHE_KERNEL(layer_norm_forward, Tensor& y, Tensor& mean, Tensor& invstd, const Tensor& x,
             const Tensor& gamma, const Tensor& beta, double eps);
LATHE_KERNEL(layer_norm_backward, Tensor& dx, Tensor& dgamma, Tensor& dbeta, const Tensor& dy,
             const Tensor& x, const Tensor& mean, const Tensor& invstd, const Tensor& gamma);

/// x (N, ..., C): over each sample and group of C / groups consecutive channels; mean and invstd (N, groups).
LATHE_KERNEL(group_norm_forward, Tensor& y, Tensor& mean, Tensor& invstd, const Tensor& x,
             const Tensor& gamma, const Tensor& beta, double eps);
LATHE_KERNEL(group_norm_backward, Tensor& dx, Tensor& dgamma, Tensor& dbeta, const Tensor& dy,
             const Tensor& x, const Tensor& mean, const Tensor& invstd, const Tensor& gamma);

}  // namespace kernels
}  // namespace lathe
