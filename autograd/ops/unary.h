#pragma once
// For op files: the op made of one unary formula.

#include "autograd/var.h"
#include "core/kernels/elementwise_math.h"

namespace lathe {

/// y = kind(x), recorded as `op`; saves x or y, whichever the formula's derivative needs.
Var unary_op(const char* op, const Var& x, UnaryOp kind, UnaryParameters parameters = {});

}  // namespace lathe
