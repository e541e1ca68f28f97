#include "models/positions.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/interpolate.h"
#include "autograd/ops/shape.h"
#include "core/log.h"

namespace lathe {
namespace {

/// Of a square; 0 of other numbers.
int64_t square_root(int64_t n) {
  const auto side =
      static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(std::max<int64_t>(n, 0)))));
  return side * side == n ? side : 0;
}

}  // namespace

Tensor resized_positions(const Tensor& given, const Shape& wanted, int64_t extra) {
  if (given.rank() != 3 || wanted.rank() != 3 || given.shape().with(1, wanted[1]) != wanted) return {};
  const int64_t from = square_root(given.dim(1) - extra), to = square_root(wanted[1] - extra);
  if (from == 0 || to == 0) return {};
  const int64_t width = wanted[2];
  const NoGrad no_grad;
  const Var positions(given.to(DType::F64));
  const Var grid = reshape(slice(positions, 1, extra, -1), {1, from, from, width});
  const Var resized = reshape(interpolate(grid, {to, to}, Interpolation::Cubic), {1, to * to, width});
  log_info("positions of ", from, "x", from, " patches resampled to ", to, "x", to);
  return extra == 0 ? resized.data() : concat({slice(positions, 1, 0, extra), resized}, 1).data();
}

}  // namespace lathe
