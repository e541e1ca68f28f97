#pragma once
// A linear layer and its gradients over rows: x (rows, in), w (out, in), y (rows, out). All tensors have one
// dtype, f32 or f64 (on CUDA also bf16). Outputs may not alias inputs and have the right shapes: the op
// checked them.

#include "core/dispatch.h"

namespace lathe::kernels {

/// y = f(x) w^T + bias + residual, f being gelu or the identity; bias (out) and residual (rows, out) may be
/// undefined.
LATHE_KERNEL(linear_forward, Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
             const Tensor& residual, bool gelu);
/// dx = dy w, with gelu times its derivative at x; then also fx = gelu(x), which the gradient of w needs.
/// Without gelu fx and x may be undefined.
LATHE_KERNEL(linear_input_gradient, Tensor& dx, Tensor& fx, const Tensor& dy, const Tensor& w,
             const Tensor& x, bool gelu);
/// dw = dy^T fx and db (out), the sums of dy over its rows, which may be undefined.
LATHE_KERNEL(linear_weight_gradient, Tensor& dw, Tensor& db, const Tensor& dy, const Tensor& fx);

}  // namespace lathe::kernels
