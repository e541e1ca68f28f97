#pragma once
// Matrix products.

#include "autograd/var.h"

namespace lathe {

struct MatmulOptions {
  bool transpose_a = false;
  bool transpose_b = false;
};
/// op(a) op(b) over the last two axes; leading axes broadcast. (..., m, k) x (..., k, n) -> (..., m, n).
Var matmul(const Var& a, const Var& b, const MatmulOptions& options = {});

struct LinearFusion {
  bool gelu = false;  ///< of x first; it is computed again for the gradients, not kept
  Var residual;       ///< (..., out), added; or undefined
};
/// x w^T + bias over the last axis: x (..., in), w (out, in), bias (out) or undefined -> (..., out).
Var linear(const Var& x, const Var& w, const Var& bias = {}, const LinearFusion& fusion = {});

}  // namespace lathe
