#pragma once
#include "core/dispatch.h"

namespace lathe::kernels {

/// y (..., dim) = rows of weight (rows, dim) by indices (...) i64. ShapeError for an index outside [0, rows).
/// f32 or f64; no aliasing.
LATHE_KERNEL(embedding_forward, Tensor& y, const Tensor& weight, const Tensor& indices);
/// dweight (rows, dim): row r is the sum of dy's rows whose index is r, added in order in f64; row
/// padding_idx
/// (-1: none) is 0. The indices passed embedding_forward.
LATHE_KERNEL(embedding_backward, Tensor& dweight, const Tensor& dy, const Tensor& indices,
             int64_t padding_idx);

}  // namespace lathe::kernels
