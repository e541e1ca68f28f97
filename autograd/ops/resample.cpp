#include "autograd/ops/resample.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "autograd/ops/shape.h"
#include "core/kernels/conv.h"

namespace lathe {
namespace {

constexpr int64_t kZeros = 24;  // crossings of the sinc on each side
constexpr double kRolloff = 0.945;
constexpr int64_t kBlock = 32;  // values that one row of a product makes

// Values at every `stride`-th place of x (rows, T, 1), one for each of the filters (phases, K): (rows, T',
// phases). No learned layer, so it counts no multiply-accumulates.
Var filtered(const Var& x, const Tensor& filters, int64_t stride) {
  const Conv2dGeometry g{.stride_w = stride};
  const int64_t rows = x.dim(0), phases = filters.dim(0), taps = filters.dim(1);
  const Shape x4{rows, 1, x.dim(1), 1};
  const int64_t length = conv_out(x.dim(1), taps, stride, 0, 1);
  const Tensor w = filters.to(x.dtype()).to(x.data().device()).view({phases, 1, taps, 1});
  Tensor y = x.data().empty_like({rows, length, phases});
  Tensor y4 = y.view({rows, 1, length, phases});
  kernels::conv2d_forward(y4, x.data().view(x4), w, Tensor(), g);
  return record("resample", std::move(y), {x}, Saved{w}, [g, x4, shape = y4.shape()](Backward& b) {
    Tensor dx = b.dx(0).view(x4);
    kernels::conv2d_backward_data(dx, b.dy().view(shape), b.saved(0), g);
  });
}

/// Filters of `block` places in a row: row b to + i holds filter i after b from zeros. One product then makes
/// many values at once.
Tensor repeated_filters(const Tensor& filters, int64_t from, int64_t block) {
  const int64_t to = filters.dim(0), taps = filters.dim(1), width = (block - 1) * from + taps;
  Tensor wide = Tensor::zeros({block * to, width}, filters.dtype());
  dispatch_floating(filters.dtype(), "resample", [&]<class T>() {
    T* y = wide.mut<T>();
    for (int64_t row = 0; row < block * to; ++row)
      std::copy_n(filters.ptr<T>() + row % to * taps, taps, y + row * width + row / to * from);
  });
  return wide;
}

}  // namespace

Tensor resample_filters(int64_t from, int64_t to) {
  LATHE_CHECK(ShapeError, from >= 1 && to >= 1 && std::gcd(from, to) == 1, "resample: rates ", from, " and ",
              to, " must be positive and in lowest terms");
  const double rate = kRolloff * static_cast<double>(std::min(from, to));
  const auto width = static_cast<int64_t>(std::ceil(static_cast<double>(kZeros * from) / rate));
  const int64_t taps = 2 * width + from;
  Tensor filters = Tensor::empty({to, taps});
  for (int64_t phase = 0; phase < to; ++phase) {
    float* row = filters.mut<float>() + phase * taps;
    const auto shift = static_cast<float>(-static_cast<double>(phase) / static_cast<double>(to));
    float sum = 0;
    for (int64_t k = 0; k < taps; ++k) {
      const float at = shift + static_cast<float>(k - width) / static_cast<float>(from);
      const float limit = static_cast<float>(kZeros);
      const float t = std::clamp(at * static_cast<float>(rate), -limit, limit) * std::numbers::pi_v<float>;
      const float window = std::cos(t / limit / 2.0f);
      row[k] = (t == 0 ? 1.0f : std::sin(t) / t) * (window * window);
      sum += row[k];
    }
    for (int64_t k = 0; k < taps; ++k) row[k] /= sum;
  }
  return filters;
}

Var resample_valid(const Var& x, const Tensor& filters, int64_t from) {
  LATHE_CHECK(ShapeError, x.shape().rank() == 3 && x.dim(1) >= filters.dim(1), "resample: input is ",
              x.shape(), ", expected (N, T, C) with T of at least ", filters.dim(1));
  const int64_t n = x.dim(0), t = x.dim(1), c = x.dim(2), to = filters.dim(0);
  const int64_t places = (t - filters.dim(1)) / from + 1;
  const int64_t block = std::max<int64_t>(1, kBlock / to), blocks = (places + block - 1) / block;
  const Tensor wide = repeated_filters(filters.to(Device::cpu()), from, block);
  const int64_t missing = (blocks - 1) * block * from + wide.dim(1) - t;
  Var rows = reshape(permute(x, {0, 2, 1}), {n * c, t, 1});
  if (missing > 0) rows = pad(rows, {.axis = 1, .after = missing});
  // Phase after phase is time after time.
  const Var y = reshape(filtered(rows, wide, block * from), {n, c, blocks * block * to});
  return permute(slice(y, 2, 0, places * to), {0, 2, 1});
}

Var resample_with(const Var& x, const Tensor& filters, int64_t from) {
  LATHE_CHECK(ShapeError, x.shape().rank() == 3 && x.dim(1) >= 1, "resample: input is ", x.shape(),
              ", expected (N, T, C) with T of at least 1");
  const int64_t width = (filters.dim(1) - from) / 2;
  const Var padded = pad(x, {.axis = 1, .before = width, .after = width + from, .mode = PadMode::Replicate});
  return slice(resample_valid(padded, filters, from), 1, 0, filters.dim(0) * x.dim(1) / from);
}

Var resample(const Var& x, int64_t from, int64_t to) {
  LATHE_CHECK(ShapeError, from >= 1 && to >= 1, "resample: rates must be positive, found ", from, " and ",
              to);
  const int64_t common = std::gcd(from, to);
  if (from == to) return x;
  return resample_with(x, resample_filters(from / common, to / common), from / common);
}

}  // namespace lathe
