#include "autograd/ops/elementwise.h"

#include "autograd/ops/unary.h"
#include "core/broadcast.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/reduce.h"

namespace lathe {
namespace {

Tensor apply(const char* op, const Var& a, const Var& b, BinaryOp kind) {
  LATHE_CHECK(DTypeError, a.dtype() == b.dtype(), op, ": element types differ: ", a.dtype(), " and ",
              b.dtype());
  Tensor y = a.data().empty_like(broadcast_shape(op, a.shape(), b.shape()));
  kernels::binary(y, a.data(), b.data(), kind);
  return y;
}

/// Hands `gradient`, of the broadcast shape, to input i: as it is, or summed over the stretched axes.
void give(Backward& b, int i, const Tensor& gradient) {
  if (gradient.shape() == b.input_shape(i)) return b.pass(i, gradient);
  kernels::sum(b.dx(i), gradient, stretched_axes(b.input_shape(i), gradient.shape()), 1);
}

/// fn(g) fills g, of dy's shape, with input i's gradient before it is summed.
template <class Fn>
void give_filled(Backward& b, int i, const Fn& fn) {
  if (!b.wants(i)) return;
  Tensor g = b.dy().empty_like();
  fn(g);
  give(b, i, g);
}

/// Saves both inputs; each side's gradient is binary_backward's.
Var general(const char* op, const Var& a, const Var& b, BinaryOp kind) {
  Tensor y = apply(op, a, b, kind);
  return record(op, std::move(y), {a, b}, Saved{a.data(), b.data()}, [kind](Backward& back) {
    for (int side = 0; side < 2; ++side) {
      give_filled(back, side, [&](Tensor& g) {
        kernels::binary_backward(g, back.dy(), back.saved(0), back.saved(1), kind, side);
      });
    }
  });
}

Var scaled(const char* op, const Var& x, double factor) {
  Tensor y = x.data().empty_like();
  kernels::unary(y, x.data(), UnaryOp::Scale, {.a = factor});
  return record(op, std::move(y), {x}, {},
                [factor](Backward& b) { kernels::unary(b.dx(0), b.dy(), UnaryOp::Scale, {.a = factor}); });
}

}  // namespace

Var cast(const Var& x, DType dtype) {
  if (!x.defined() || x.dtype() == dtype) return x;
  LATHE_CHECK(DTypeError, is_floating(x.dtype()) && is_floating(dtype), "cast: from ", x.dtype(), " to ",
              dtype);
  return record("cast", x.data().to(dtype), {x}, {}, [](Backward& b) { kernels::cast(b.dx(0), b.dy()); });
}

Var unary_op(const char* op, const Var& x, UnaryOp kind, UnaryParameters parameters) {
  Tensor y = x.data().empty_like();
  kernels::unary(y, x.data(), kind, parameters);
  Saved saved{saves_output(kind) ? y : x.data()};
  return record(op, std::move(y), {x}, std::move(saved), [kind, parameters](Backward& b) {
    kernels::unary_backward(b.dx(0), b.dy(), b.saved(0), kind, parameters);
  });
}

Var add(const Var& a, const Var& b) {
  Tensor y = apply("add", a, b, BinaryOp::Add);
  return record("add", std::move(y), {a, b}, {}, [](Backward& back) {
    for (int i = 0; i < 2; ++i) {
      if (back.wants(i)) give(back, i, back.dy());
    }
  });
}

Var sub(const Var& a, const Var& b) {
  Tensor y = apply("sub", a, b, BinaryOp::Sub);
  return record("sub", std::move(y), {a, b}, {}, [](Backward& back) {
    if (back.wants(0)) give(back, 0, back.dy());
    give_filled(back, 1, [&](Tensor& g) { kernels::unary(g, back.dy(), UnaryOp::Scale, {.a = -1}); });
  });
}

Var mul(const Var& a, const Var& b) {
  Tensor y = apply("mul", a, b, BinaryOp::Mul);
  // Each side's gradient needs the other side only.
  Saved saved{b.requires_grad() ? a.data() : Tensor(), a.requires_grad() ? b.data() : Tensor()};
  return record("mul", std::move(y), {a, b}, std::move(saved), [](Backward& back) {
    give_filled(back, 0, [&](Tensor& g) { kernels::binary(g, back.dy(), back.saved(1), BinaryOp::Mul); });
    give_filled(back, 1, [&](Tensor& g) { kernels::binary(g, back.dy(), back.saved(0), BinaryOp::Mul); });
  });
}

Var div(const Var& a, const Var& b) {
  return general("div", a, b, BinaryOp::Div);
}
Var maximum(const Var& a, const Var& b) {
  return general("maximum", a, b, BinaryOp::Maximum);
}
Var minimum(const Var& a, const Var& b) {
  return general("minimum", a, b, BinaryOp::Minimum);
}

Var scale(const Var& x, double factor) {
  return scaled("scale", x, factor);
}
Var neg(const Var& x) {
  return scaled("neg", x, -1);
}
Var add_scalar(const Var& x, double offset) {
  Tensor y = x.data().empty_like();
  kernels::unary(y, x.data(), UnaryOp::AddScalar, {.a = offset});
  return record("add_scalar", std::move(y), {x}, {}, [](Backward& b) { b.pass(0, b.dy()); });
}

Var exp(const Var& x) {
  return unary_op("exp", x, UnaryOp::Exp);
}
Var log(const Var& x) {
  return unary_op("log", x, UnaryOp::Log);
}
Var sqrt(const Var& x) {
  return unary_op("sqrt", x, UnaryOp::Sqrt);
}
Var square(const Var& x) {
  return unary_op("square", x, UnaryOp::Square);
}
Var abs(const Var& x) {
  return unary_op("abs", x, UnaryOp::Abs);
}
Var pow(const Var& x, double exponent) {
  return unary_op("pow", x, UnaryOp::Pow, {.a = exponent});
}
Var clamp(const Var& x, double lo, double hi) {
  LATHE_CHECK(ConfigError, lo <= hi, "clamp: the lower bound ", lo, " is above the upper bound ", hi);
  return unary_op("clamp", x, UnaryOp::Clamp, {.a = lo, .b = hi});
}

}  // namespace lathe
