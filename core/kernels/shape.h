#pragma once
// Kernels that move elements. No aliasing. Any dtype unless said otherwise.

#include "core/dispatch.h"

namespace lathe {

/// Elements taken along one axis: k = 0 .. count - 1 pairs y's y_begin + k y_step with x's x_begin + k
/// x_step.
struct AxisCopy {
  int axis = 0;
  int64_t count = 0;
  int64_t y_begin = 0, y_step = 1;
  int64_t x_begin = 0, x_step = 1;
};

namespace kernels {

/// Axis i of y is axis axes[i] of x.
LATHE_KERNEL(permute, Tensor& y, const Tensor& x, const std::vector<int>& axes);

/// y[.., y_begin + k y_step, ..] = x[.., x_begin + k x_step, ..] for all k; the rest of y keeps its values.
/// Extents agree on the other axes. y_step is not 0.
LATHE_KERNEL(copy_axis, Tensor& y, const Tensor& x, const AxisCopy& copy);
/// The same with += in order of k, so that y_step may be 0. f32 or f64, on CUDA also bf16.
LATHE_KERNEL(add_axis, Tensor& y, const Tensor& x, const AxisCopy& copy);

/// y (N, ceil(H / stride), ceil(W / stride), C') from x (N, H, W, C): every stride-th pixel with (C' - C) / 2
/// zero channels before and the others behind. f32 or f64, on CUDA also bf16.
LATHE_KERNEL(option_a_forward, Tensor& y, const Tensor& x, int64_t stride);
/// dx is 0 at pixels that were skipped.
LATHE_KERNEL(option_a_backward, Tensor& dx, const Tensor& dy, int64_t stride);

}  // namespace kernels
}  // namespace lathe
