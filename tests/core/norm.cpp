// Batch norm's fused form and statistics; what layer and group norm have in common with it.

#include "autograd/ops/norm.h"

#include <cmath>

#include <doctest/doctest.h>

#include "autograd/checkpoint.h"
#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "core/error.h"
#include "core/philox.h"

namespace lathe {
namespace {

Var noise(const Shape& shape, uint32_t stream, double lo = -1, double hi = 1, DType dtype = DType::F64) {
  const Philox philox{7, stream, 0};
  std::vector<double> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = lo + (hi - lo) * static_cast<double>(philox.uniform(i));
  }
  return Var(Tensor::from(values, shape).to(dtype), true);
}

double distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const Tensor x = a.to(DType::F64), y = b.to(DType::F64);
  double worst = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    worst = std::max(worst, std::abs(x.ptr<double>()[i] - y.ptr<double>()[i]));
  }
  return worst;
}

Tensor filled(int64_t n, double value) {
  return Tensor::full({n}, value, DType::F64);
}

// Outputs and gradients of both forms agree.
void check_fused(const BatchNormOptions& options, bool with_residual) {
  const Shape shape{6, 5, 7};
  Tensor results[2][5];
  for (const bool fused : {false, true}) {
    const Var x = noise(shape, 1), gamma = noise({7}, 2, 0.5, 1.5), beta = noise({7}, 3);
    const Var residual = with_residual ? noise(shape, 4) : Var();
    Tensor mean = filled(7, 0.1), var = filled(7, 0.7);
    Var y;
    if (fused) {
      BatchNormOptions all = options;
      all.relu = true;
      y = batch_norm(x, gamma, beta, mean, var, all, residual);
    } else {
      y = batch_norm(x, gamma, beta, mean, var, options);
      y = relu(with_residual ? add(y, residual) : y);
    }
    backward(y, noise(shape, 5).data());
    Tensor* r = results[fused ? 1 : 0];
    r[0] = y.data();
    r[1] = x.grad();
    r[2] = gamma.grad();
    r[3] = beta.grad();
    r[4] = with_residual ? residual.grad() : mean;
  }
  for (int i = 0; i < 5; ++i) {
    CAPTURE(i);
    CHECK(distance(results[0][i], results[1][i]) < 1e-14);
  }
}

}  // namespace

TEST_SUITE_BEGIN("norm");

TEST_CASE("batch_norm: fused residual and relu equal their composition") {
  for (const bool training : {true, false}) {
    for (const bool residual : {true, false}) check_fused({.training = training}, residual);
  }
}

TEST_CASE("batch_norm: statistics, running averages with unbiased variance") {
  const Var x(Tensor::from(std::vector<double>{1, 10, 3, 30, 8, 20}, {3, 2}));
  Tensor mean = filled(2, 1), var = filled(2, 2);
  const Var y = batch_norm(x, {}, {}, mean, var, {.momentum = 0.25, .eps = 0});
  // channel 0: mean 4, biased variance 26/3, unbiased 13; channel 1: 20, 200/3, 100
  CHECK(mean.ptr<double>()[0] == doctest::Approx(0.75 + 1));
  CHECK(mean.ptr<double>()[1] == doctest::Approx(0.75 + 5));
  CHECK(var.ptr<double>()[0] == doctest::Approx(1.5 + 0.25 * 13));
  CHECK(var.ptr<double>()[1] == doctest::Approx(1.5 + 0.25 * 100));
  CHECK(y.data().ptr<double>()[4] == doctest::Approx(4 / std::sqrt(26.0 / 3)));
  batch_norm(x, {}, {}, mean, var, {.training = false});
  CHECK(mean.ptr<double>()[0] == doctest::Approx(1.75));  // evaluation changes nothing
}

TEST_CASE("batch_norm: a recomputed forward does not update the running statistics again") {
  const Var x = noise({4, 3}, 1);
  Tensor once_mean = filled(3, 0), once_var = filled(3, 1), mean = filled(3, 0), var = filled(3, 1);
  batch_norm(x, {}, {}, once_mean, once_var, {});
  const Var y =
      checkpoint([&](const std::vector<Var>& in) { return batch_norm(in[0], {}, {}, mean, var, {}); }, {x});
  backward(sum(square(y)));
  CHECK(distance(mean, once_mean) == 0);
  CHECK(distance(var, once_var) == 0);
}

TEST_CASE("batch_norm: float32 keeps its accuracy far from zero and over many chunks") {
  // 20000 rows of 5 channels around 1000 with a deviation of 0.29: naive sums of squares would lose it all.
  const Var x = noise({20000, 5}, 1, 999.5, 1000.5, DType::F32);
  Tensor mean = Tensor::zeros({5}), var = Tensor::zeros({5});
  batch_norm(x, {}, {}, mean, var, {.momentum = 1});
  const Tensor exact = x.data().to(DType::F64);
  for (int64_t c = 0; c < 5; ++c) {
    double m = 0, m2 = 0;
    for (int64_t i = 0; i < 20000; ++i) m += exact.ptr<double>()[i * 5 + c] / 20000;
    for (int64_t i = 0; i < 20000; ++i) m2 += std::pow(exact.ptr<double>()[i * 5 + c] - m, 2);
    CHECK(mean.ptr<float>()[c] == doctest::Approx(m).epsilon(1e-7));
    CHECK(var.ptr<float>()[c] == doctest::Approx(m2 / 19999).epsilon(1e-6));
  }
}

TEST_CASE("batch_norm: NaN stays visible behind relu") {
  Tensor x = Tensor::zeros({4, 2});
  x.mut<float>()[2] = NAN;
  const Var y = batch_norm(Var(x), {}, {}, {}, {}, {.relu = true});
  CHECK(std::isnan(y.data().ptr<float>()[0]));
  CHECK(y.data().ptr<float>()[1] == 0);
}

TEST_CASE("batch_norm: says what does not fit") {
  const Var x(Tensor::zeros({4, 3}));
  CHECK_THROWS_WITH_AS(batch_norm(Var(Tensor::zeros({1, 1, 3})), {}, {}, {}, {}, {}),
                       doctest::Contains("training needs more than one value per channel"), ShapeError);
  CHECK_NOTHROW(batch_norm(Var(Tensor::zeros({1, 3})), {}, {}, Tensor::zeros({3}), Tensor::full({3}, 1),
                           {.training = false}));
  CHECK_THROWS_AS(batch_norm(x, {}, {}, {}, {}, {.training = false}), ShapeError);
  CHECK_THROWS_AS(batch_norm(x, Var(Tensor::zeros({4})), {}, {}, {}, {}), ShapeError);
  CHECK_THROWS_AS(batch_norm(x, {}, {}, {}, {}, {}, Var(Tensor::zeros({4, 4}))), ShapeError);
  CHECK_THROWS_AS(group_norm(x, {}, {}, 2), ShapeError);
}

TEST_CASE("layer_norm is group_norm with one group and one position") {
  const Var x = noise({9, 21}, 1), gamma = noise({21}, 2), beta = noise({21}, 3);
  const Tensor dy = noise({9, 21}, 4).data();
  const Var by_layer = layer_norm(x, gamma, beta);
  backward(by_layer, dy);
  const Tensor dx = x.grad(), dgamma = gamma.grad();
  x.grad() = gamma.grad() = Tensor();
  const Var by_group = group_norm(x, gamma, beta, 1);
  backward(by_group, dy);
  CHECK(distance(by_layer.data(), by_group.data()) < 1e-13);
  CHECK(distance(dx, x.grad()) < 1e-13);
  CHECK(distance(dgamma, gamma.grad()) < 1e-13);
}

TEST_SUITE_END();

}  // namespace lathe
