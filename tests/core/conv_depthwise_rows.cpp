// Depthwise rows that are made while they are read, and what is told of those that are done.

#include "core/cpu/conv_depthwise_rows.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include <doctest/doctest.h>

namespace lathe::cpu {
namespace {

Tensor numbers(const Shape& shape, uint64_t seed) {
  Tensor values = Tensor::empty(shape);
  float* p = values.mut<float>();
  for (int64_t i = 0; i < values.numel(); ++i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    p[i] = static_cast<float>(seed >> 57) / 64 - 1;
  }
  return values;
}

/// Ranges of rows that were reported, checked to cover [0, rows) once.
class Reported {
 public:
  void add(int64_t chunk, int64_t lo, int64_t hi) {
    const std::scoped_lock lock(mutex_);
    CHECK(chunk < kDepthwiseChunks);
    ranges_.push_back({lo, hi});
  }
  bool covers(int64_t rows) {
    std::sort(ranges_.begin(), ranges_.end());
    int64_t next = 0;
    for (const auto& [lo, hi] : ranges_) {
      if (lo != next) return false;
      next = hi;
    }
    return next == rows;
  }

 private:
  std::mutex mutex_;
  std::vector<std::pair<int64_t, int64_t>> ranges_;
};

struct Layer {
  int64_t n, h, w, c, stride, kernel = 3;
};

void check(const Layer& l) {
  const int64_t pad = l.kernel / 2;
  const Conv2dGeometry g{l.stride, l.stride, pad, pad, 1, 1, l.c};
  const int64_t oh = conv_out(l.h, l.kernel, l.stride, pad, 1);
  const int64_t ow = conv_out(l.w, l.kernel, l.stride, pad, 1);
  const Tensor x = numbers(Shape{l.n, l.h, l.w, l.c}, 1), w = numbers(Shape{l.c, l.kernel, l.kernel, 1}, 2);
  const Tensor dy = numbers(Shape{l.n, oh, ow, l.c}, 3);
  const ConvShape shape(x, w, dy, g);
  REQUIRE(has_depthwise_rows<float>(shape));
  const auto copy_of = [](const Tensor& from, int64_t size) {
    return [p = from.ptr<float>(), size](float* to, int64_t row) { std::copy_n(p + row * size, size, to); };
  };
  const auto copy_x = copy_of(x, l.w * l.c), copy_dy = copy_of(dy, ow * l.c);
  const DepthwiseFill<float> fill_x(copy_x), fill_dy(copy_dy);
  const DepthwiseInput<float> x_in_place{x.ptr<float>()}, dy_in_place{dy.ptr<float>()};
  const DepthwiseInput<float> x_made{nullptr, &fill_x}, dy_made{nullptr, &fill_dy};
  const float* no_bias = nullptr;
  Tensor y[2] = {Tensor::empty(dy.shape()), Tensor::empty(dy.shape())};
  Tensor dx[2] = {Tensor::empty(x.shape()), Tensor::empty(x.shape())};
  Tensor dw[2] = {Tensor::empty(w.shape()), Tensor::empty(w.shape())};
  for (const int made : {0, 1}) {
    Reported y_rows, dx_rows;
    const auto add_y = [&](int64_t chunk, int64_t lo, int64_t hi) { y_rows.add(chunk, lo, hi); };
    const auto add_dx = [&](int64_t chunk, int64_t lo, int64_t hi) { dx_rows.add(chunk, lo, hi); };
    const DepthwiseDone y_done(add_y), dx_done(add_dx);
    depthwise_rows_forward(shape, y[made].mut<float>(), made ? x_made : x_in_place, w.ptr<float>(), no_bias,
                           &y_done);
    depthwise_rows_backward_data(shape, dx[made].mut<float>(), made ? dy_made : dy_in_place, w.ptr<float>(),
                                 &dx_done);
    depthwise_rows_backward_weight(shape, dw[made].mut<float>(), made ? dy_made : dy_in_place,
                                   made ? x_made : x_in_place);
    CHECK(y_rows.covers(l.n * oh));
    CHECK(dx_rows.covers(l.n * l.h));
  }
  CHECK(same_bits(y[0], y[1]));
  CHECK(same_bits(dx[0], dx[1]));
  CHECK(same_bits(dw[0], dw[1]));
}

}  // namespace

TEST_SUITE_BEGIN("conv");

TEST_CASE("depthwise rows that are made while they are read give the bits of rows in place") {
  for (const Layer& l : {Layer{3, 7, 13, 32, 1}, Layer{2, 9, 15, 16, 2}, Layer{9, 4, 4, 64, 1},
                         Layer{67, 2, 2, 16, 1}, Layer{40, 8, 6, 16, 2}, Layer{1, 1, 1, 16, 2},
                         Layer{3, 11, 21, 112, 1}, Layer{2, 9, 13, 40, 1, 5}, Layer{2, 10, 13, 40, 2, 5}}) {
    CAPTURE(l.n);
    CAPTURE(l.h);
    CAPTURE(l.stride);
    CAPTURE(l.kernel);
    check(l);
  }
}

TEST_SUITE_END();

}  // namespace lathe::cpu
