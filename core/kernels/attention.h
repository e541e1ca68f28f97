#pragma once
// Scaled dot-product attention, see autograd/ops/attention.h. q (N, T, H, d), k (N, S, H, d), v (N, S, H,
// dv), y (N, T, H, dv), one dtype, f32 or f64; key_padding (N, S) u8 and bias (H, T, S) may be undefined. On
// a CUDA device d and dv are at most 128, and all but lse, which is f32 then, may be bf16.

#include "core/dispatch.h"

namespace lathe {

struct AttentionFlags {
  double scale = 1;
  bool causal = false;  ///< query t sees the keys s <= t + S - T
  bool packed = false;  ///< q, k and v are one tensor (N, T, 3, H, d), and so are dq, dk and dv
};

namespace kernels {

/// Also writes lse (N, H, T), the logarithm of the sum of each query's exponentials: all that the backward
/// pass keeps of the (T, S) scores, which it computes again. +inf for a query that sees no key.
LATHE_KERNEL(attention_forward, Tensor& y, Tensor& lse, const Tensor& q, const Tensor& k, const Tensor& v,
             const Tensor& key_padding, const Tensor& bias, const AttentionFlags& flags);
/// An undefined gradient is not computed. dbias is summed over fixed groups of samples, then over the groups
/// in order.
LATHE_KERNEL(attention_backward, Tensor& dq, Tensor& dk, Tensor& dv, Tensor& dbias, const Tensor& dy,
             const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& y, const Tensor& lse,
             const Tensor& key_padding, const Tensor& bias, const AttentionFlags& flags);

}  // namespace kernels
}  // namespace lathe
