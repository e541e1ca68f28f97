#include "core/kernels/reduce.h"

#include <doctest/doctest.h>

#include "autograd/ops/reduce.h"
#include "tests/support/kernels.h"

using namespace lathe;
using namespace lathe::tests;

TEST_SUITE_BEGIN("ops");

namespace {

Shape kept(const Shape& shape, AxisMask axes) {
  Shape result = shape;
  for (int i = 0; i < shape.rank(); ++i) {
    if ((axes >> i & 1) != 0) result = result.with(i, 1);
  }
  return result;
}

/// The definition, in long double.
Tensor plain_sum(const Tensor& x, AxisMask axes) {
  const Shape to = kept(x.shape(), axes);
  std::vector<long double> total(static_cast<size_t>(to.numel()), 0);
  for (int64_t i = 0; i < x.numel(); ++i) {
    int64_t rest = i, offset = 0, dense = 1;
    for (int axis = x.rank() - 1; axis >= 0; --axis) {
      if (to[axis] != 1) offset += rest % x.dim(axis) * dense;
      rest /= x.dim(axis);
      dense *= to[axis];
    }
    total[static_cast<size_t>(offset)] += static_cast<long double>(x.ptr<float>()[i]);
  }
  return Tensor::from(std::vector<double>(total.begin(), total.end()), to);
}

struct Sum {
  Shape shape;
  AxisMask axes;
};

// Several chunks, several column tiles, both, groups in every place.
const std::vector<Sum> kSums = {{{300007}, 0b1},
                                {{3, 70001}, 0b10},
                                {{70001, 3}, 0b01},
                                {{1000, 2500}, 0b01},
                                {{40, 33, 64}, 0b010},
                                {{5, 6000, 17}, 0b010},
                                {{9, 11, 13, 7}, 0b0101},
                                {{9, 11, 13, 7}, 0b1010},
                                {{2, 3, 1, 5, 4}, 0b11011},
                                {{3000, 7}, 0b10},
                                {{4, 5}, 0},
                                {{1, 1}, 0b11}};

}  // namespace

TEST_CASE("sum: every pattern equals the definition within f32 rounding") {
  for (const auto& [shape, axes] : kSums) {
    const Tensor x = random_tensor(shape, 3, 0, 1);
    Tensor y = x.empty_like(kept(shape, axes));
    kernels::sum(y, x, axes, 1);
    CHECK_MESSAGE(nmse(y, plain_sum(x, axes)) < 1e-14, to_string(shape), " ", axes);
  }
}

TEST_CASE("sum: a long f32 sum is exact to f32's last digits") {
  const Tensor x = Tensor::full({3000000}, 0.1);
  Tensor y = Tensor::empty({});
  kernels::sum(y, x, 1, 1);
  CHECK(std::abs(y.item() / (3e6 * static_cast<double>(0.1f)) - 1) < 1e-7);
}

TEST_CASE("sum: same bits for any number of threads and every instruction set") {
  for (const auto& [shape, axes] : kSums) {
    const Tensor x = random_tensor(shape, 4);
    const auto run = [&, &shape = shape, &axes = axes] {
      Tensor y = x.empty_like(kept(shape, axes));
      kernels::sum(y, x, axes, 0.3);
      return y;
    };
    CHECK_MESSAGE(thread_invariant(run), to_string(shape), " ", axes);
    CHECK_MESSAGE(isa_spread(run) == 0, to_string(shape), " ", axes);
  }
}

TEST_CASE("sum of nothing is 0, mean of nothing is NaN") {
  const Var x(Tensor::zeros({0, 3}));
  CHECK(sum(x).data().item() == 0);
  CHECK(std::isnan(mean(x).data().item()));
}

TEST_CASE("reductions: bad axes and too few elements are errors") {
  const Var x(Tensor::zeros({2, 3}));
  CHECK_THROWS_AS(sum(x, {.axes = {2}}), ShapeError);
  CHECK_THROWS_AS(sum(x, {.axes = {1, -1}}), ShapeError);
  CHECK_THROWS_AS(variance(Var(Tensor::zeros({4, 1})), {.axes = {1}}), ShapeError);
  CHECK(variance(Var(Tensor::zeros({4, 1})), {.axes = {1}, .unbiased = false}).shape() == Shape{4});
}

TEST_CASE("standard_deviation: a constant has gradient 0, not NaN") {
  const Var x(Tensor::full({5}, 2), true);
  backward(standard_deviation(x));
  for (const float g : x.grad().span<float>()) CHECK(g == 0);
}

TEST_SUITE_END();
