#include "autograd/ops/interpolate.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"

namespace lathe {
namespace {

/// Keys' kernel (1981, equation 4) with a = -0.75, at a distance of at most 2.
double cubic_weight(double distance) {
  constexpr double a = -0.75;
  const double t = std::abs(distance);
  if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
}

/// (out, n): row i holds the weights of the elements that element i of the result is made of.
Tensor weights_of(int64_t n, int64_t out, Interpolation mode) {
  Tensor weights = Tensor::zeros({out, n}, DType::F64);
  double* w = weights.mut<double>();
  for (int64_t i = 0; i < out; ++i) {
    double* row = w + i * n;
    if (mode == Interpolation::Nearest) {
      row[i * n / out] = 1;
      continue;
    }
    const double centre =
        (static_cast<double>(i) + 0.5) * static_cast<double>(n) / static_cast<double>(out) - 0.5;
    const int64_t left = static_cast<int64_t>(std::floor(centre));
    const int64_t taps = mode == Interpolation::Linear ? 2 : 4;
    for (int64_t k = left - taps / 2 + 1; k <= left + taps / 2; ++k) {
      const double distance = std::abs(centre - static_cast<double>(k));
      const double weight = mode == Interpolation::Linear ? 1 - distance : cubic_weight(distance);
      row[std::clamp<int64_t>(k, 0, n - 1)] += weight;
    }
  }
  return weights;
}

Var along(const Var& x, int axis, int64_t out, Interpolation mode) {
  const Shape& shape = x.shape();
  if (shape[axis] == out) return x;
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= shape[i];
  for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  const Var weights(weights_of(shape[axis], out, mode).to(x.dtype()).to(x.data().device()));
  const Var y = matmul(weights, reshape(x, {outer, shape[axis], inner}));
  return reshape(y, shape.with(axis, out));
}

}  // namespace

Var interpolate(const Var& x, const std::vector<int64_t>& size, Interpolation mode) {
  const int axes = static_cast<int>(size.size());
  LATHE_CHECK(ShapeError, axes >= 1 && x.shape().rank() == axes + 2, "interpolate: ", axes,
              " sizes for an input of shape ", x.shape(),
              ", expected one per axis but the first and the last");
  Var y = x;
  for (int axis = 1; axis <= axes; ++axis) {
    const int64_t out = size[static_cast<size_t>(axis - 1)];
    LATHE_CHECK(ShapeError, out >= 1 && x.dim(axis) >= 1, "interpolate: from ", x.dim(axis), " to ", out,
                " elements along axis ", axis);
    y = along(y, axis, out, mode);
  }
  return y;
}

}  // namespace lathe
