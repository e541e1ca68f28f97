#pragma once
// Sums over axes, and stretching back. f32 or f64, one dtype; on CUDA also bf16, whose y may be f32. No
// aliasing.

#include "core/broadcast.h"
#include "core/dispatch.h"

namespace lathe::kernels {

/// y = factor * sum of x over the axes in `axes`. y holds the kept axes in order (reduced ones may stand as
/// 1): only its count matters. Sums run in f64 over fixed chunks, whose partial sums are added in a fixed
/// order; x of several separate groups of reduced axes is summed group by group, innermost first, rounded to
/// the dtype (bf16: to f32) between. A sum over nothing is 0 factor.
LATHE_KERNEL(sum, Tensor& y, const Tensor& x, AxisMask axes, double factor);

}  // namespace lathe::kernels
