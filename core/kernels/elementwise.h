#pragma once
// Elementwise kernels. All tensors contiguous, one dtype (f32 or f64) unless said otherwise. Outputs have the
// right shapes: the op checked them.

#include "core/dispatch.h"

namespace lathe::kernels {

/// y[i] = value, rounded to y's dtype (any).
LATHE_KERNEL(fill, Tensor& y, double value);

/// sum += x, equal shapes. x may share sum's storage.
LATHE_KERNEL(accumulate, Tensor& sum, const Tensor& x);

}  // namespace lathe::kernels
