#include "autograd/ops/matmul.h"

#include <algorithm>

#include "autograd/ops/optional.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/linear.h"
#include "core/kernels/matmul.h"

namespace lathe {
namespace {

/// Shape of the product; ShapeError, DTypeError if the operands do not fit.
Shape matmul_shape(const Tensor& a, const Tensor& b, const MatmulOptions& options) {
  LATHE_CHECK(DTypeError, a.dtype() == b.dtype(), "matmul: operands are ", a.dtype(), " and ", b.dtype());
  LATHE_CHECK(ShapeError, a.rank() >= 2 && b.rank() >= 2, "matmul: operands need at least 2 axes, found ",
              a.shape(), " and ", b.shape());
  const int64_t k = a.dim(options.transpose_a ? -2 : -1), other = b.dim(options.transpose_b ? -1 : -2);
  LATHE_CHECK(ShapeError, k == other, "matmul: inner extents differ, ", k, " and ", other, ", in ", a.shape(),
              options.transpose_a ? " transposed" : "", " x ", b.shape(),
              options.transpose_b ? " transposed" : "");
  const int rank = std::max(a.rank(), b.rank());
  std::array<int64_t, Shape::kMaxRank> dims{};
  for (int i = 0; i < rank - 2; ++i) {
    const int ia = i - (rank - a.rank()), ib = i - (rank - b.rank());
    const int64_t da = ia < 0 ? 1 : a.dim(ia), db = ib < 0 ? 1 : b.dim(ib);
    LATHE_CHECK(ShapeError, da == db || da == 1 || db == 1,
                "matmul: leading axes do not broadcast: ", a.shape(), " and ", b.shape());
    dims[static_cast<size_t>(i)] = da == 1 ? db : da;
  }
  dims[static_cast<size_t>(rank - 2)] = a.dim(options.transpose_a ? -1 : -2);
  dims[static_cast<size_t>(rank - 1)] = b.dim(options.transpose_b ? -2 : -1);
  return Shape(std::span<const int64_t>(dims.data(), static_cast<size_t>(rank)));
}

/// t as (rows, last extent).
Tensor as_rows(const Tensor& t) {
  int64_t rows = 1;
  for (int i = 0; i + 1 < t.rank(); ++i) rows *= t.dim(i);
  return t.view({rows, t.dim(-1)});
}

}  // namespace

Var matmul(const Var& a, const Var& b, const MatmulOptions& options) {
  Tensor y = a.data().empty_like(matmul_shape(a.data(), b.data(), options));
  const bool ta = options.transpose_a, tb = options.transpose_b;
  kernels::matmul(y, a.data(), b.data(), Tensor(), {ta, tb});
  const int64_t macs = y.numel() * a.dim(ta ? -2 : -1);
  return record(
      "matmul", y, {a, b}, Saved{a.data(), b.data()},
      [ta, tb](Backward& g) {
        // The gradient of an operand stored transposed is the transposed product.
        if (g.wants(0)) {
          if (ta) {
            kernels::matmul(g.dx(0), g.saved(1), g.dy(), Tensor(), {tb, true});
          } else {
            kernels::matmul(g.dx(0), g.dy(), g.saved(1), Tensor(), {false, !tb});
          }
        }
        if (g.wants(1)) {
          if (tb) {
            kernels::matmul(g.dx(1), g.dy(), g.saved(0), Tensor(), {true, ta});
          } else {
            kernels::matmul(g.dx(1), g.saved(0), g.dy(), Tensor(), {!ta, false});
          }
        }
      },
      OpInfo{.macs = macs});
}

namespace {

void check_linear(const Tensor& x, const Var& w, const Var& bias, const Var& residual) {
  LATHE_CHECK(ShapeError, x.rank() >= 1 && w.data().rank() == 2 && x.dim(-1) == w.dim(1), "linear: input ",
              x.shape(), " does not fit weight ", w.shape(), " (out, in)");
  LATHE_CHECK(DTypeError, x.dtype() == w.dtype(), "linear: input is ", x.dtype(), ", weight ", w.dtype());
  if (bias.defined()) {
    LATHE_CHECK(ShapeError, bias.shape() == Shape({w.dim(0)}), "linear: bias is ", bias.shape(),
                ", weight has ", w.dim(0), " outputs");
    LATHE_CHECK(DTypeError, x.dtype() == bias.dtype(), "linear: input is ", x.dtype(), ", bias ",
                bias.dtype());
  }
  if (residual.defined()) {
    LATHE_CHECK(ShapeError, residual.shape() == x.shape().with(-1, w.dim(0)), "linear: residual is ",
                residual.shape(), ", input ", x.shape(), ", weight ", w.shape());
    LATHE_CHECK(DTypeError, x.dtype() == residual.dtype(), "linear: input is ", x.dtype(), ", residual ",
                residual.dtype());
  }
}

/// dx if it is wanted, then dw and db: the weight's gradient needs gelu(x), which comes with dx.
void linear_backward(Backward& g, bool gelu) {
  const Tensor dy = as_rows(g.dy()), x = as_rows(g.saved(0));
  Tensor fx = x;
  if (gelu) fx = x.empty_like();
  if (g.wants(0)) {
    Tensor dx = as_rows(g.dx(0));
    kernels::linear_input_gradient(dx, fx, dy, g.saved(1), x, gelu);
  } else if (gelu && g.wants(1)) {
    kernels::unary(fx, x, UnaryOp::Gelu, {});
  }
  if (g.wants(1) || g.wants(2)) {
    Tensor dw = g.wants(1) ? g.dx(1) : g.saved(1).empty_like(), db;  // so that db has the same bits alone
    if (g.wants(2)) db = g.dx(2);
    kernels::linear_weight_gradient(dw, db, dy, g.wants(1) ? fx : x);
  }
  if (g.wants(3)) g.pass(3, g.dy());
}

}  // namespace

Var linear(const Var& x, const Var& w, const Var& bias, const LinearFusion& fusion) {
  const Tensor& in = x.data();
  check_linear(in, w, bias, fusion.residual);
  Tensor y = in.empty_like(in.shape().with(-1, w.dim(0)));
  Tensor rows = as_rows(y), residual = data_or_none(fusion.residual);
  if (residual.defined()) residual = as_rows(residual);
  kernels::linear_forward(rows, as_rows(in), w.data(), data_or_none(bias), residual, fusion.gelu);
  return record(
      "linear", y, {x, w, bias, fusion.residual}, Saved{in, w.data()},
      [gelu = fusion.gelu](Backward& g) { linear_backward(g, gelu); }, OpInfo{.macs = y.numel() * w.dim(1)});
}

}  // namespace lathe
