#include "layers/relative_attention.h"

#include <cstdlib>

#include "autograd/ops/embedding.h"
#include "autograd/ops/shape.h"
#include "layers/init.h"

namespace lathe {
namespace {

Tensor offset_columns(int64_t window, Device device) {
  const int64_t points = window * window;
  if (device == Device::meta()) return Tensor::empty({points, points}, DType::I64, device);
  std::vector<int64_t> columns;
  for (int64_t p = 0; p < points; ++p) {
    for (int64_t q = 0; q < points; ++q)
      columns.push_back(std::abs(p / window - q / window) * window + std::abs(p % window - q % window));
  }
  return Tensor::from(columns, {points, points}).to(device);
}

/// Zeros behind axis 1 and axis 2 up to multiples of `window`.
Var padded(const Var& x, int64_t window) {
  Var y = x;
  for (const int axis : {1, 2}) {
    const int64_t missing = (window - x.dim(axis) % window) % window;
    if (missing > 0) y = pad(y, {.axis = axis, .after = missing});
  }
  return y;
}

}  // namespace

RelativeAttention::RelativeAttention(Module& parent, std::string name, int64_t width,
                                     const RelativeAttentionOptions& options)
    : Module(parent, std::move(name)),
      width_(width),
      heads_(options.heads),
      window_(options.window),
      offsets_(offset_columns(options.window, device())),
      attention_biases_(*this, "attention_biases",
                        {.shape = {options.heads, options.window * options.window},
                         .kind = Kind::Bias,
                         .init = init::constant(0)}),
      norm_(*this, "norm", width, options.norm),
      qkv_(*this, "qkv", width, 3 * width, options.qkv),
      proj_(*this, "proj", width, width, options.out),
      products_(*this, width, options.heads, 0, false, 0) {}

Var RelativeAttention::operator()(const Var& x) {
  const ErrorScope scope(*this);
  const int64_t points = window_ * window_;
  LATHE_CHECK(ShapeError, x.shape().rank() == 3 && x.dim(1) == points && x.dim(2) == width_, describe(),
              ": expected (windows, ", points, ", ", width_, "), found ", x.shape());
  const int64_t d = width_ / heads_;
  const Var qkv = reshape(qkv_(norm_(x)), {x.dim(0), points, heads_, 3, d});
  const Var thirds = reshape(permute(qkv, {0, 1, 3, 2, 4}), {x.dim(0), points, 3 * width_});
  const Var table = permute(cast(attention_biases_.value(), x.dtype()), {1, 0});
  return proj_(products_(thirds, permute(embedding(table, offsets_), {2, 0, 1})));
}

Var partition_windows(const Var& x, int64_t window) {
  LATHE_CHECK(ShapeError, x.shape().rank() == 4, "partition_windows: expected (N, H, W, C), found ",
              x.shape());
  const Var whole = padded(x, window);
  const int64_t n = x.dim(0), rows = whole.dim(1) / window, columns = whole.dim(2) / window, c = x.dim(3);
  const Var tiles = columns == 1
                        ? whole
                        : permute(reshape(whole, {n, rows, window, columns, window, c}), {0, 1, 3, 2, 4, 5});
  return reshape(tiles, {n * rows * columns, window * window, c});
}

Var join_windows(const Var& windows, int64_t window, int64_t height, int64_t width) {
  const int64_t rows = (height + window - 1) / window, columns = (width + window - 1) / window;
  const int64_t n = windows.dim(0) / (rows * columns), c = windows.dim(2);
  Var map = windows;
  if (columns > 1) map = permute(reshape(windows, {n, rows, columns, window, window, c}), {0, 1, 3, 2, 4, 5});
  map = reshape(map, {n, rows * window, columns * window, c});
  if (map.dim(1) != height) map = slice(map, 1, 0, height);
  return map.dim(2) == width ? map : slice(map, 2, 0, width);
}

}  // namespace lathe
