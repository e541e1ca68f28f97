#pragma once
// Softmax and log-softmax along the middle axis of a tensor seen as (outer, n, inner). One dtype, f32 or f64,
// on CUDA also bf16.

#include "core/dispatch.h"

namespace lathe {

struct SoftmaxOptions {
  int axis = -1;
  bool log = false;  ///< y = x - log(sum exp(x)) instead of exp(x) / sum exp(x)
};

namespace kernels {

/// y of x's shape.
LATHE_KERNEL(softmax_forward, Tensor& y, const Tensor& x, const SoftmaxOptions& options);
/// dx = y (dy - sum(dy y)), or dy - exp(y) sum(dy) for the logarithm.
LATHE_KERNEL(softmax_backward, Tensor& dx, const Tensor& dy, const Tensor& y, const SoftmaxOptions& options);

}  // namespace kernels
}  // namespace lathe
