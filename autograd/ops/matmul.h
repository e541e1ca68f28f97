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

/// x w^T + bias over the last axis: x (..., in), w (out, in), bias (out) or undefined -> (..., out).
Var linear(const Var& x, const Var& w, const Var& bias = {});

}  // namespace lathe
