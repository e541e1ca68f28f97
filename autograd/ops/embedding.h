#pragma once
#include "autograd/var.h"

namespace lathe {

/// Rows of weight (rows, dim) by indices (...) i64 -> (..., dim). Row padding_idx (-1: none) gets no
/// gradient. ShapeError for an index out of range.
Var embedding(const Var& weight, const Tensor& indices, int64_t padding_idx = -1);

}  // namespace lathe
