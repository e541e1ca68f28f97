#pragma once
// Convolutions (cross-correlations), channels last.

#include "autograd/var.h"
#include "core/kernels/conv.h"

namespace lathe {

/// x (N, H, W, C), w (K, kh, kw, C / groups), bias (K) or undefined -> (N, OH, OW, K),
/// OH = floor((H + 2 pad - dilation (kh - 1) - 1) / stride) + 1.
Var conv2d(const Var& x, const Var& w, const Var& bias, const Conv2dGeometry& geometry);

/// The output's shape; throws what conv2d would throw for these operands.
Shape conv2d_shape(const Tensor& x, const Tensor& w, const Conv2dGeometry& geometry);
/// Multiply-accumulates of a convolution with output y.
int64_t conv2d_macs(const Shape& y, const Shape& w);

struct Conv1dGeometry {
  int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
};
/// x (N, T, C), w (K, k, C / groups), bias (K) or undefined -> (N, OT, K).
Var conv1d(const Var& x, const Var& w, const Var& bias, const Conv1dGeometry& geometry);

struct ConvTranspose2dGeometry {
  Conv2dGeometry conv;  ///< of the convolution whose adjoint this is
  int64_t output_padding_h = 0, output_padding_w = 0;
};
/// x (N, H, W, C), w (C, kh, kw, K / groups), bias (K) or undefined -> (N, OH, OW, K),
/// OH = (H - 1) stride - 2 pad + dilation (kh - 1) + output_padding + 1.
Var conv_transpose2d(const Var& x, const Var& w, const Var& bias, const ConvTranspose2dGeometry& geometry);

struct ConvTranspose1dGeometry {
  int64_t stride = 1, padding = 0, dilation = 1, groups = 1, output_padding = 0;
};
/// x (N, T, C), w (C, k, K / groups), bias (K) or undefined -> (N, OT, K).
Var conv_transpose1d(const Var& x, const Var& w, const Var& bias, const ConvTranspose1dGeometry& geometry);

}  // namespace lathe
