#include "autograd/ops/activations.h"

#include "autograd/ops/unary.h"
#include "core/kernels/activations.h"

namespace lathe {

// Formulas: core/kernels/elementwise_math.h.
Var relu(const Var& x) {
  return unary_op("relu", x, UnaryOp::Relu);
}
Var relu6(const Var& x) {
  return unary_op("relu6", x, UnaryOp::Relu6);
}
Var leaky_relu(const Var& x, double slope) {
  return unary_op("leaky_relu", x, UnaryOp::LeakyRelu, {.a = slope});
}
Var elu(const Var& x, double alpha) {
  return unary_op("elu", x, UnaryOp::Elu, {.a = alpha});
}
Var gelu(const Var& x) {
  return unary_op("gelu", x, UnaryOp::Gelu);
}
Var gelu_tanh(const Var& x) {
  return unary_op("gelu_tanh", x, UnaryOp::GeluTanh);
}
Var silu(const Var& x) {
  return unary_op("silu", x, UnaryOp::Silu);
}
Var hardswish(const Var& x) {
  return unary_op("hardswish", x, UnaryOp::Hardswish);
}
Var hardsigmoid(const Var& x) {
  return unary_op("hardsigmoid", x, UnaryOp::Hardsigmoid);
}
Var sigmoid(const Var& x) {
  return unary_op("sigmoid", x, UnaryOp::Sigmoid);
}
Var tanh(const Var& x) {
  return unary_op("tanh", x, UnaryOp::Tanh);
}
Var softplus(const Var& x) {
  return unary_op("softplus", x, UnaryOp::Softplus);
}

Var glu(const Var& x, int axis) {
  axis = x.shape().axis(axis);
  LATHE_CHECK(ShapeError, x.dim(axis) % 2 == 0, "glu: axis ", axis, " of shape ", x.shape(),
              " has odd extent ", x.dim(axis));
  Tensor y = x.data().empty_like(x.shape().with(axis, x.dim(axis) / 2));
  kernels::glu_forward(y, x.data(), axis);
  return record("glu", std::move(y), {x}, Saved{x.data()},
                [axis](Backward& b) { kernels::glu_backward(b.dx(0), b.dy(), b.saved(0), axis); });
}

}  // namespace lathe
