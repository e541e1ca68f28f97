// Float64 follows float32 where rounding explains another state, and nowhere else.

#include "tests/support/kinks.h"

#include <cmath>
#include <functional>

#include <doctest/doctest.h>

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/pool.h"

namespace lathe::tests {
namespace {

using Values = std::vector<double>;
using Net = std::function<Var(const Var&)>;

/// `gradient` is the float64 input's, from 1, 2, 3, ...
struct Followed {
  Switches switches;
  Values gradient;
};

/// `net` on `reference` in float64 follows `net` on `found` in float32.
Followed run(const Net& net, const Shape& shape, const Values& reference, const Values& found,
             double tolerance = 1e-5) {
  const Var x(Tensor::from(reference, shape), true), x32(Tensor::from(found, shape).to(DType::F32), true);
  const Var y = net(x), y32 = net(x32);
  std::vector<Kink> kinks = kinks_of(y);
  const Leaves leaves{{&x.grad(), x.data()}};
  Followed followed{follow(kinks, leaves, kinks_of(y32), tolerance), {}};
  Values dy(static_cast<size_t>(y.shape().numel()));
  for (size_t i = 0; i < dy.size(); ++i) dy[i] = static_cast<double>(i + 1);
  backward(y, Tensor::from(dy, y.shape()));
  const auto dx = x.grad().span<double>();
  followed.gradient.assign(dx.begin(), dx.end());
  return followed;
}

Followed run_relu(const Values& reference, const Values& found) {
  return run(relu, {static_cast<int64_t>(reference.size())}, reference, found);
}

}  // namespace

TEST_SUITE_BEGIN("golden models");

TEST_CASE("kinks: a relu near 0 takes the other state, in its gradient alone") {
  const Followed same = run_relu({1e-7, -1e-7, 2, -2}, {2e-7, -2e-7, 2, -2});
  CHECK(same.switches.complaint.empty());
  CHECK(!same.switches.any());
  CHECK(same.switches.activations == 4);
  CHECK(same.gradient == Values{1, 0, 3, 0});
  const Followed closed = run_relu({1e-7, -1e-7, 2, -2}, {-1e-7, -1e-7, 2, -2});
  CHECK(closed.switches.complaint.empty());
  CHECK(closed.switches.switched == 1);
  CHECK(closed.gradient == Values{0, 0, 3, 0});
  const Followed opened = run_relu({1e-7, -1e-7, 2, -2}, {1e-7, 1e-7, 2, -2});
  CHECK(opened.switches.complaint.empty());
  CHECK(opened.switches.text().starts_with("1 of 4 activations"));
  CHECK(opened.gradient == Values{1, 2, 3, 0});
}

TEST_CASE("kinks: relu6 switches at both ends") {
  const Followed both = run(relu6, {3}, {6 + 1e-7, -1e-7, 3}, {6 - 1e-6, 1e-7, 3});
  CHECK(both.switches.complaint.empty());
  CHECK(both.switches.switched == 2);
  CHECK(both.gradient == Values{1, 2, 3});
}

TEST_CASE("kinks: what rounding does not explain is a complaint") {
  CHECK(!run_relu({0.01, 2}, {-0.01, 2}).switches.complaint.empty());  // open, far from 0
  CHECK(!run_relu({-0.5, 2}, {1e-7, 2}).switches.complaint.empty());   // closed, far from 0
  CHECK(!run_relu({1, 2}, {1.001, 2}).switches.complaint.empty());     // another value
  CHECK(!run_relu({NAN, 2}, {1, 2}).switches.complaint.empty());
  CHECK(!run_relu({1e-7, 1e-7, 1e-7, 2}, {0, 0, 0, 2}).switches.complaint.empty());  // too many
  CHECK(run_relu({1e-7, 1e-7, 2, 2}, {0, 0, 2, 2}).switches.complaint.empty());
  const Var x(Tensor::from(Values{1, 2}, {2}), true);
  std::vector<Kink> one = kinks_of(relu(x));
  CHECK(!follow(one, {}, kinks_of(relu(relu(x))), 1e-5).complaint.empty());
}

TEST_CASE("kinks: the sum in front of a norm's relu is read back") {
  // relu(x) - 1.00001 norm(x), where norm(1) is 0.999995: -5e-6 for an x of 1.
  const Net net = [](const Var& x) {
    const Var gamma(Tensor::full({1}, -1.00001, x.dtype()));
    return batch_norm(x, gamma, {}, {}, {}, {.training = true, .relu = true}, relu(x));
  };
  const Values x{-1, -1, 1, 1};
  CHECK(!run(net, {4, 1}, x, x).switches.any());
  const Followed opened = run(net, {4, 1}, x, {-1, -1, 1 + 1.6e-5, 1}, 1e-4);
  CHECK_MESSAGE(opened.switches.complaint.empty(), opened.switches.complaint);
  CHECK(opened.switches.switched == 2);
}

TEST_CASE("kinks: a maximum that is nearly another takes the other's place") {
  const Net pool = [](const Var& x) { return max_pool2d(x, {.kernel_h = 1, .kernel_w = 2, .stride_w = 2}); };
  const Shape shape{1, 1, 4, 1};
  const Followed moved = run(pool, shape, {1 + 1e-7, 1, 2, 3}, {1, 1 + 1e-6, 2, 3});
  CHECK(moved.switches.moved == 1);
  CHECK(moved.switches.choices == 2);
  CHECK(moved.gradient == Values{0, 1, 0, 2});
  CHECK(!run(pool, shape, {1, 0, 2, 3}, {0, 1, 2, 3}).switches.complaint.empty());
}

TEST_SUITE_END();

}  // namespace lathe::tests
