#include "core/kernels/elementwise.h"
#include "core/kernels/linear.h"
#include "core/kernels/matmul.h"

namespace lathe::kernels::cuda {

void linear_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual,
                    bool gelu) {
  Tensor fx = x;
  if (gelu) {
    fx = x.empty_like();
    kernels::unary(fx, x, UnaryOp::Gelu, {});
  }
  if (!residual.defined()) return kernels::matmul(y, fx, w, bias, {.transpose_b = true});
  Tensor product = y.empty_like();
  kernels::matmul(product, fx, w, bias, {.transpose_b = true});
  kernels::binary(y, product, residual, BinaryOp::Add);
}

void linear_input_gradient(Tensor& dx, Tensor& fx, const Tensor& dy, const Tensor& w, const Tensor& x,
                           bool gelu) {
  if (!gelu) return kernels::matmul(dx, dy, w, Tensor(), {});
  kernels::unary(fx, x, UnaryOp::Gelu, {});
  Tensor product = dx.empty_like();
  kernels::matmul(product, dy, w, Tensor(), {});
  kernels::unary_backward(dx, product, x, UnaryOp::Gelu, {});
}

void linear_weight_gradient(Tensor& dw, Tensor& db, const Tensor& dy, const Tensor& fx) {
  kernels::matmul(dw, dy, fx, Tensor(), {.transpose_a = true});
  if (db.defined()) kernels::column_sum(db, dy);
}

}  // namespace lathe::kernels::cuda
