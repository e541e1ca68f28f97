#pragma once
// Activations that are not elementwise; the others are unary kernels (core/kernels/elementwise.h).

#include "core/dispatch.h"

namespace lathe::kernels {

/// y = a sigmoid(b), where a and b are the halves of x along `axis`. f32 or f64, on CUDA also bf16; no
/// aliasing.
LATHE_KERNEL(glu_forward, Tensor& y, const Tensor& x, int axis);
/// Both halves of dx. No aliasing.
LATHE_KERNEL(glu_backward, Tensor& dx, const Tensor& dy, const Tensor& x, int axis);

}  // namespace lathe::kernels
