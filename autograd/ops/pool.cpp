#include "autograd/ops/pool.h"

#include "core/kernels/elementwise.h"
#include "core/kernels/pool.h"
#include "core/kernels/reduce.h"

namespace lathe {
namespace {

PoolAxis pool_axis(const char* op, int64_t n, int64_t kernel, int64_t stride, int64_t pad, bool ceil_mode) {
  LATHE_CHECK(ShapeError, kernel >= 1 && stride >= 1, op, ": kernel ", kernel, " and stride ", stride,
              ", expected at least 1");
  LATHE_CHECK(ShapeError, pad >= 0 && 2 * pad <= kernel, op, ": padding ", pad,
              " is more than half of the kernel ", kernel);
  const int64_t room = n + 2 * pad - kernel;
  LATHE_CHECK(ShapeError, n >= 1 && room >= 0, op, ": a window of ", kernel, " does not fit into ", n,
              " elements padded by ", pad);
  int64_t out = (ceil_mode ? room + stride - 1 : room) / stride + 1;
  if (ceil_mode && (out - 1) * stride >= n + pad) --out;  // the last window would start in the right padding
  return {.n = n, .out = out, .kernel = kernel, .stride = stride, .pad = pad};
}

void check_image(const char* op, const Var& x) {
  LATHE_CHECK(ShapeError, x.shape().rank() == 4, op, ": expected (N, H, W, C), found ", x.shape());
}

PoolGeometry geometry(const char* op, const Var& x, const Pool2dOptions& o) {
  check_image(op, x);
  return {.h = pool_axis(op, x.dim(1), o.kernel_h, o.stride_h, o.pad_h, o.ceil_mode),
          .w = pool_axis(op, x.dim(2), o.kernel_w, o.stride_w, o.pad_w, o.ceil_mode),
          .count_include_pad = o.count_include_pad};
}

PoolGeometry adaptive(const char* op, const Var& x, int64_t out_h, int64_t out_w) {
  check_image(op, x);
  LATHE_CHECK(ShapeError, out_h >= 1 && out_w >= 1 && x.dim(1) >= 1 && x.dim(2) >= 1, op, ": from ",
              x.shape(), " to ", out_h, " x ", out_w);
  return {.h = {.n = x.dim(1), .out = out_h, .adaptive = true},
          .w = {.n = x.dim(2), .out = out_w, .adaptive = true}};
}

/// x (N, T, C) is pooled as (N, 1, T, C); the result has x's rank.
PoolGeometry geometry_1d(const char* op, const Var& x, const Pool1dOptions& o) {
  LATHE_CHECK(ShapeError, x.shape().rank() == 3, op, ": expected (N, T, C), found ", x.shape());
  return {.h = {},
          .w = pool_axis(op, x.dim(1), o.kernel, o.stride, o.padding, o.ceil_mode),
          .count_include_pad = o.count_include_pad};
}

Shape as_image(const Shape& x) {
  return x.rank() == 4 ? x : Shape{x[0], 1, x[1], x[2]};
}

Shape pooled(const Shape& x, const PoolGeometry& g) {
  return x.rank() == 4 ? Shape{x[0], g.h.out, g.w.out, x[3]} : Shape{x[0], g.w.out, x[2]};
}

Var max_pool(const char* op, const Var& x, const PoolGeometry& g) {
  Tensor y = x.data().empty_like(pooled(x.shape(), g));
  Tensor image = y.view(as_image(y.shape()));
  Tensor argmax;
  if (grad_enabled() && x.requires_grad()) {
    argmax = Tensor::empty(image.shape(), DType::I32, image.device());
  }
  kernels::max_pool_forward(image, argmax, x.data().view(as_image(x.shape())), g);
  return record(op, std::move(y), {x}, Saved{argmax}, [g](Backward& b) {
    Tensor dx = b.dx(0).view(as_image(b.input_shape(0)));
    kernels::max_pool_backward(dx, b.dy().view(as_image(b.dy().shape())), b.saved(0), g);
  });
}

Var avg_pool(const char* op, const Var& x, const PoolGeometry& g) {
  Tensor y = x.data().empty_like(pooled(x.shape(), g));
  Tensor image = y.view(as_image(y.shape()));
  kernels::avg_pool_forward(image, x.data().view(as_image(x.shape())), g);
  return record(op, std::move(y), {x}, {}, [g](Backward& b) {
    Tensor dx = b.dx(0).view(as_image(b.input_shape(0)));
    kernels::avg_pool_backward(dx, b.dy().view(as_image(b.dy().shape())), g);
  });
}

}  // namespace

Var max_pool2d(const Var& x, const Pool2dOptions& options) {
  return max_pool("max_pool2d", x, geometry("max_pool2d", x, options));
}
Var avg_pool2d(const Var& x, const Pool2dOptions& options) {
  return avg_pool("avg_pool2d", x, geometry("avg_pool2d", x, options));
}
Var max_pool1d(const Var& x, const Pool1dOptions& options) {
  return max_pool("max_pool1d", x, geometry_1d("max_pool1d", x, options));
}
Var avg_pool1d(const Var& x, const Pool1dOptions& options) {
  return avg_pool("avg_pool1d", x, geometry_1d("avg_pool1d", x, options));
}
Var adaptive_avg_pool2d(const Var& x, int64_t out_h, int64_t out_w) {
  return avg_pool("adaptive_avg_pool2d", x, adaptive("adaptive_avg_pool2d", x, out_h, out_w));
}
Var adaptive_max_pool2d(const Var& x, int64_t out_h, int64_t out_w) {
  return max_pool("adaptive_max_pool2d", x, adaptive("adaptive_max_pool2d", x, out_h, out_w));
}

Var global_avg_pool2d(const Var& x) {
  check_image("global_avg_pool2d", x);
  constexpr AxisMask kPixels = 0b0110;
  const double factor = 1.0 / static_cast<double>(x.dim(1) * x.dim(2));
  Tensor y = x.data().empty_like({x.dim(0), x.dim(3)});
  kernels::sum(y, x.data(), kPixels, factor);
  return record("global_avg_pool2d", std::move(y), {x}, {}, [factor](Backward& b) {
    const Tensor dy = b.dy().view({b.dy().dim(0), 1, 1, b.dy().dim(1)});
    kernels::binary(b.dx(0), dy, Tensor::full({}, factor, dy.dtype(), dy.device()), BinaryOp::Mul);
  });
}

}  // namespace lathe
