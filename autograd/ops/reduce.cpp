#include "autograd/ops/reduce.h"

#include "core/kernels/elementwise.h"
#include "core/kernels/reduce.h"

namespace lathe {
namespace {

/// What a reduction does to a shape.
struct Reduction {
  AxisMask axes = 0;
  Shape kept;         ///< the input's shape with reduced axes of extent 1
  Shape result;       ///< kept, or without those axes
  int64_t count = 1;  ///< elements summed into one

  Reduction(const char* op, const Shape& shape, const std::vector<int>& wanted, bool keepdim) : kept(shape) {
    for (const int i : wanted) {
      const AxisMask bit = AxisMask{1} << shape.axis(i);
      LATHE_CHECK(ShapeError, (axes & bit) == 0, op, ": axis ", i, " of shape ", shape, " is given twice");
      axes |= bit;
    }
    if (wanted.empty()) axes = (AxisMask{1} << shape.rank()) - 1;
    std::vector<int64_t> left;
    for (int i = 0; i < shape.rank(); ++i) {
      if ((axes >> i & 1) == 0) {
        left.push_back(shape[i]);
        continue;
      }
      count *= shape[i];
      kept = kept.with(i, 1);
    }
    result = keepdim ? kept : Shape(std::span<const int64_t>(left));
  }
};

/// dx = factor * gradient, stretched along the reduced axes.
void stretch(Tensor& dx, const Tensor& gradient, const Shape& kept, double factor) {
  const Tensor scalar = Tensor::full({}, factor, dx.dtype(), dx.device());
  kernels::binary(dx, gradient.view(kept), scalar, BinaryOp::Mul);
}

Var scaled_sum(const char* op, const Var& x, const Reduction& r, double factor) {
  Tensor y = x.data().empty_like(r.result);
  kernels::sum(y, x.data(), r.axes, factor);
  return record(op, std::move(y), {x}, {},
                [kept = r.kept, factor](Backward& b) { stretch(b.dx(0), b.dy(), kept, factor); });
}

/// x less its mean, and the variance of x, over the axes of `r`.
struct Moments {
  Tensor centred;   // x's shape
  Tensor variance;  // r.result
  double factor;    // 1 / (count - 1) or 1 / count

  Moments(const char* op, const Tensor& x, const Reduction& r, bool unbiased)
      : centred(x.empty_like()),
        variance(x.empty_like(r.result)),
        factor(1.0 / static_cast<double>(r.count - (unbiased ? 1 : 0))) {
    LATHE_CHECK(ShapeError, r.count > (unbiased ? 1 : 0), op, ": ", r.count, " elements of shape ", x.shape(),
                " are too few");
    Tensor mean = x.empty_like(r.kept);
    kernels::sum(mean, x, r.axes, 1.0 / static_cast<double>(r.count));
    kernels::binary(centred, x, mean, BinaryOp::Sub);
    Tensor squares = x.empty_like();
    kernels::unary(squares, centred, UnaryOp::Square, {});
    kernels::sum(variance, squares, r.axes, factor);
  }
};

}  // namespace

Var sum(const Var& x, const ReduceOptions& options) {
  return scaled_sum("sum", x, Reduction("sum", x.shape(), options.axes, options.keepdim), 1);
}

Var mean(const Var& x, const ReduceOptions& options) {
  const Reduction r("mean", x.shape(), options.axes, options.keepdim);
  return scaled_sum("mean", x, r, 1.0 / static_cast<double>(r.count));
}

// d variance / dx = 2 factor (x - mean): the mean's own derivative sums to zero.
Var variance(const Var& x, const VarianceOptions& options) {
  const Reduction r("variance", x.shape(), options.axes, options.keepdim);
  Moments m("variance", x.data(), r, options.unbiased);
  return record("variance", m.variance, {x}, Saved{m.centred},
                [kept = r.kept, factor = m.factor](Backward& b) {
                  stretch(b.dx(0), b.dy(), kept, 2 * factor);
                  kernels::binary(b.dx(0), b.dx(0), b.saved(0), BinaryOp::Mul);
                });
}

// The gradient at a deviation of 0 is 0.
Var standard_deviation(const Var& x, const VarianceOptions& options) {
  const Reduction r("standard_deviation", x.shape(), options.axes, options.keepdim);
  Moments m("standard_deviation", x.data(), r, options.unbiased);
  Tensor y = m.variance.empty_like();
  kernels::unary(y, m.variance, UnaryOp::Sqrt, {});
  return record("standard_deviation", y, {x}, Saved{m.centred, y},
                [kept = r.kept, factor = m.factor](Backward& b) {
                  Tensor slope = b.dy().empty_like();
                  kernels::binary(slope, b.dy(), b.saved(1), BinaryOp::DivOrZero);
                  stretch(b.dx(0), slope, kept, factor);
                  kernels::binary(b.dx(0), b.dx(0), b.saved(0), BinaryOp::Mul);
                });
}

}  // namespace lathe
