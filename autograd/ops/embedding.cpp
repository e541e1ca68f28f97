#include "autograd/ops/embedding.h"

#include "core/kernels/embedding.h"

namespace lathe {

Var embedding(const Var& weight, const Tensor& indices, int64_t padding_idx) {
  LATHE_CHECK(ShapeError, weight.shape().rank() == 2, "embedding: expected a table (rows, dim), found ",
              weight.shape());
  LATHE_CHECK(DTypeError, indices.dtype() == DType::I64, "embedding: indices are ", indices.dtype(),
              ", expected i64");
  LATHE_CHECK(ShapeError, padding_idx >= -1 && padding_idx < weight.dim(0), "embedding: padding_idx ",
              padding_idx, ", the table has ", weight.dim(0), " rows");
  std::vector<int64_t> dims(indices.shape().begin(), indices.shape().end());
  dims.push_back(weight.dim(1));
  Tensor y = weight.data().empty_like(Shape(std::span<const int64_t>(dims)));
  kernels::embedding_forward(y, weight.data(), indices);
  return record("embedding", std::move(y), {weight}, Saved{indices}, [padding_idx](Backward& b) {
    kernels::embedding_backward(b.dx(0), b.dy(), b.saved(0), padding_idx);
  });
}

}  // namespace lathe
