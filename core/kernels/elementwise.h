#pragma once
// Elementwise kernels. All tensors contiguous, one dtype (f32 or f64) unless said otherwise. Outputs have the
// right shapes: the op checked them. An output may be the same tensor as an input of its shape.

#include "core/dispatch.h"
#include "core/kernels/elementwise_math.h"

namespace lathe::kernels {

/// y[i] = value, rounded to y's dtype (any).
LATHE_KERNEL(fill, Tensor& y, double value);

/// y = x rounded to y's dtype; any two dtypes, equal shapes.
LATHE_KERNEL(cast, Tensor& y, const Tensor& x);

/// sum += x, equal shapes.
LATHE_KERNEL(accumulate, Tensor& sum, const Tensor& x);

/// y = op(a, b), a and b stretched to y's shape.
LATHE_KERNEL(binary, Tensor& y, const Tensor& a, const Tensor& b, BinaryOp op);
/// dx = dy times the derivative of op(a, b) for a (side 0) or b (side 1). dx and dy have the broadcast shape:
/// the caller sums dx over stretched axes.
LATHE_KERNEL(binary_backward, Tensor& dx, const Tensor& dy, const Tensor& a, const Tensor& b, BinaryOp op,
             int side);

/// y = op(x), equal shapes.
LATHE_KERNEL(unary, Tensor& y, const Tensor& x, UnaryOp op, UnaryParameters parameters);
/// dx from dy and `saved`: y if saves_output(op), else x. Equal shapes.
LATHE_KERNEL(unary_backward, Tensor& dx, const Tensor& dy, const Tensor& saved, UnaryOp op,
             UnaryParameters parameters);

}  // namespace lathe::kernels
