#include "core/kernels/pool.h"

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "autograd/ops/pool.h"
#include "tests/support/kernels.h"

using namespace lathe;
using namespace lathe::tests;

TEST_SUITE_BEGIN("ops");

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

Var image(const std::vector<float>& values, int64_t h, int64_t w) {
  return Var(Tensor::from(values, {1, h, w, 1}), true);
}

std::vector<float> values(const Tensor& x) {
  const auto span = x.span<float>();
  return {span.begin(), span.end()};
}

}  // namespace

TEST_CASE("max_pool: the first maximum gets the gradient, padding never does") {
  const Var x = image({-1, -1, -1, -1, -1, -1, -1, -1, -1}, 3, 3);
  const Var y =
      max_pool2d(x, {.kernel_h = 3, .kernel_w = 3, .stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1});
  CHECK(values(y.data()) == std::vector<float>{-1, -1, -1, -1});
  backward(y, Tensor::from(std::vector<float>{1, 2, 4, 8}, y.shape()));
  // Windows start at pixels (0, 0), (0, 1), (1, 0), (1, 1).
  CHECK(values(x.grad()) == std::vector<float>{1, 2, 0, 4, 8, 0, 0, 0, 0});
}

TEST_CASE("max_pool: NaN wins") {
  const Var x = image({1, kNaN, 3, 2}, 2, 2);
  CHECK(std::isnan(max_pool2d(x, {.kernel_h = 2, .kernel_w = 2}).data().item()));
}

TEST_CASE("max_pool: of several NaN the last gets the gradient") {
  // As many channels as make whole vectors and single ones.
  constexpr int64_t kChannels = 21;
  std::vector<double> pixels;
  for (const double value : {1.0, 5.0, std::nan(""), 7.0, std::nan(""), 9.0}) {
    pixels.insert(pixels.end(), static_cast<size_t>(kChannels), value);
  }
  for (const lathe::cpu::Isa isa : isas()) {
    const lathe::cpu::ForceIsa forced(isa);
    for (const DType dtype : {DType::F32, DType::F64}) {
      const Tensor x = Tensor::from(pixels, {1, 2, 3, kChannels}).to(dtype);
      Tensor y = Tensor::empty({1, 1, 1, kChannels}, dtype), argmax = Tensor::empty(y.shape(), DType::I32);
      kernels::max_pool_forward(y, argmax, x, {.h = {.n = 2, .kernel = 2}, .w = {.n = 3, .kernel = 3}});
      const Tensor found = y.to(DType::F64);
      for (int64_t c = 0; c < kChannels; ++c) {
        CHECK(std::isnan(found.ptr<double>()[c]));
        CHECK(argmax.ptr<int32_t>()[c] == 4);
      }
    }
  }
}

TEST_CASE("max_pool: no argmax without a gradient gives the same values") {
  const Tensor x = random_tensor({2, 9, 8, 19}, 1);
  const Pool2dOptions options{
      .kernel_h = 3, .kernel_w = 3, .stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1};
  CHECK(same_bits(max_pool2d(Var(x), options).data(), max_pool2d(Var(x, true), options).data()));
}

TEST_CASE("pooling: output sizes") {
  const Var x(Tensor::zeros({1, 6, 7, 2}));
  Pool2dOptions o{.kernel_h = 3, .kernel_w = 3, .stride_h = 2, .stride_w = 2};
  CHECK(max_pool2d(x, o).shape() == Shape{1, 2, 3, 2});
  o.ceil_mode = true;
  CHECK(max_pool2d(x, o).shape() == Shape{1, 3, 3, 2});
  // Width 5 would need a second window that starts in the right padding.
  const Var narrow(Tensor::zeros({1, 1, 3, 1}));
  CHECK(avg_pool2d(narrow, {.kernel_w = 2, .stride_w = 4, .pad_w = 1, .ceil_mode = true}).shape() ==
        Shape{1, 1, 1, 1});
  CHECK(adaptive_avg_pool2d(x, 4, 9).shape() == Shape{1, 4, 9, 2});
  CHECK(max_pool1d(Var(Tensor::zeros({2, 7, 3})), {.kernel = 3, .stride = 2}).shape() == Shape{2, 3, 3});
  CHECK(global_avg_pool2d(x).shape() == Shape{1, 2});
}

TEST_CASE("avg_pool: padding counts or does not, and never beyond the padded input") {
  const Var x = image({1, 2, 3, 4}, 1, 4);
  Pool2dOptions o{.kernel_w = 3, .stride_w = 2, .pad_w = 1, .ceil_mode = true};
  CHECK(values(avg_pool2d(x, o).data()) == std::vector<float>{1, 3, 2});  // 3/3, 9/3, 4/2
  o.count_include_pad = false;
  CHECK(values(avg_pool2d(x, o).data()) == std::vector<float>{1.5, 3, 4});
}

TEST_CASE("pooling: misuse is an error") {
  const Var x(Tensor::zeros({1, 4, 4, 2}));
  CHECK_THROWS_AS(max_pool2d(x, {.kernel_h = 5}), ShapeError);
  CHECK_THROWS_AS(max_pool2d(x, {.kernel_h = 2, .pad_h = 2}), ShapeError);
  CHECK_THROWS_AS(avg_pool2d(x, {.stride_w = 0}), ShapeError);
  CHECK_THROWS_AS(max_pool1d(x, {}), ShapeError);
  CHECK_THROWS_AS(adaptive_avg_pool2d(x, 0, 1), ShapeError);
}

TEST_CASE("pooling: same bits for any number of threads, every instruction set agrees") {
  const Tensor x = random_tensor({5, 33, 31, 37}, 2);
  PoolGeometry g{.h = {.n = 33, .out = 17, .kernel = 3, .stride = 2, .pad = 1},
                 .w = {.n = 31, .out = 16, .kernel = 3, .stride = 2, .pad = 1}};
  const Shape pooled{5, 17, 16, 37};
  const Tensor dy = random_tensor(pooled, 3);
  Tensor argmax = Tensor::empty(pooled, DType::I32);
  const std::vector<std::function<Tensor()>> runs = {[&] {
                                                       Tensor y = Tensor::empty(pooled);
                                                       kernels::max_pool_forward(y, argmax, x, g);
                                                       return y;
                                                     },
                                                     [&] {
                                                       Tensor dx = x.empty_like();
                                                       kernels::max_pool_backward(dx, dy, argmax, g);
                                                       return dx;
                                                     },
                                                     [&] {
                                                       Tensor y = Tensor::empty(pooled);
                                                       kernels::avg_pool_forward(y, x, g);
                                                       return y;
                                                     },
                                                     [&] {
                                                       Tensor dx = x.empty_like();
                                                       kernels::avg_pool_backward(dx, dy, g);
                                                       return dx;
                                                     }};
  for (const auto& run : runs) {
    CHECK(thread_invariant(run));
    CHECK(isa_spread(run) < 1e-13);
  }
}

TEST_SUITE_END();
