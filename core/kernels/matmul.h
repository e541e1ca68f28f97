#pragma once
// Matrix products. All tensors have one dtype, f32 or f64 (on CUDA also bf16, with sums in f32). Outputs may
// not alias inputs and have the right shapes: the op checked them.

#include "core/dispatch.h"

namespace lathe {

struct MatmulFlags {
  bool transpose_a = false;
  bool transpose_b = false;
};

namespace kernels {

/// y (..., m, n) = op(a) op(b) + bias, op(a) (..., m, k), op(b) (..., k, n), bias (n) or undefined. Leading
/// axes of a and b broadcast, aligned at the end. Where y has extent 1, or no axis, against theirs, the
/// products are summed in their order; a bias needs a y without such axes.
LATHE_KERNEL(matmul, Tensor& y, const Tensor& a, const Tensor& b, const Tensor& bias,
             const MatmulFlags& flags);
/// y (C) = sum over the rows of x (..., C), in fixed chunks added in double in a fixed order. On CUDA x may
/// also be bf16, with y bf16 or f32.
LATHE_KERNEL(column_sum, Tensor& y, const Tensor& x);

}  // namespace kernels
}  // namespace lathe
