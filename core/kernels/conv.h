#pragma once
// Convolution kernels. x (N, H, W, C), w (K, kh, kw, C / groups), y (N, OH, OW, K), all contiguous, one dtype
// (f32 or f64; on CUDA also bf16, with sums in f32). Outputs may not alias inputs. Outputs have the right
// shapes: the op checked them.

#include "core/dispatch.h"

namespace lathe {

struct Conv2dGeometry {
  int64_t stride_h = 1, stride_w = 1;
  int64_t pad_h = 0, pad_w = 0;
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t groups = 1;

  bool operator==(const Conv2dGeometry&) const = default;
};

/// floor((n + 2 pad - dilation (k - 1) - 1) / stride) + 1; 0 when the window does not fit.
constexpr int64_t conv_out(int64_t n, int64_t k, int64_t stride, int64_t pad, int64_t dilation) {
  const int64_t span = n + 2 * pad - dilation * (k - 1) - 1;
  return span < 0 ? 0 : span / stride + 1;
}

namespace kernels {

/// y = conv(x, w) + bias; bias (K) may be undefined.
LATHE_KERNEL(conv2d_forward, Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
             const Conv2dGeometry& geometry);
/// dx = the adjoint of conv(., w) applied to dy. Also the forward of transposed convolution.
LATHE_KERNEL(conv2d_backward_data, Tensor& dx, const Tensor& dy, const Tensor& w,
             const Conv2dGeometry& geometry);
/// dw = the adjoint of conv(x, .) applied to dy. Partial sums belong to fixed chunks of images.
LATHE_KERNEL(conv2d_backward_weight, Tensor& dw, const Tensor& dy, const Tensor& x,
             const Conv2dGeometry& geometry);

}  // namespace kernels
}  // namespace lathe
