#pragma once
#include "core/dispatch.h"

namespace lathe::kernels {

/// y (..., dim) = rows of weight (rows, dim) by indices (...) i64. For an index outside [0, rows) a
/// ShapeError on the host, a row of NaN on CUDA, which cannot throw. f32 or f64, on CUDA also bf16; no
/// aliasing.
LATHE_KERNEL(embedding_forward, Tensor& y, const Tensor& weight, const Tensor& indices);
/// dweight (rows, dim): row r is the sum of dy's rows whose index is r, added in f64, on the host in order,
/// on CUDA in four interleaved sums that are added in order; row padding_idx (-1: none) is 0. The indices
/// passed embedding_forward; CUDA leaves out those outside [0, rows).
LATHE_KERNEL(embedding_backward, Tensor& dweight, const Tensor& dy, const Tensor& indices,
             int64_t padding_idx);

/// y (..., classes) = 1 at each of the indices (...) i64, 0 elsewhere. DataError for an index outside [0,
/// classes); a device makes its row NaN.
LATHE_KERNEL(one_hot, Tensor& y, const Tensor& indices);

}  // namespace lathe::kernels
