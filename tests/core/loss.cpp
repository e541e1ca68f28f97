// Softmax, losses and attention against compositions and edge cases.

#include "autograd/ops/loss.h"

#include <cmath>

#include <doctest/doctest.h>

#include "autograd/ops/attention.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/softmax.h"
#include "core/error.h"
#include "core/philox.h"

namespace lathe {
namespace {

Var noise(const Shape& shape, uint32_t stream, double range = 1) {
  const Philox philox{11, stream, 0};
  std::vector<double> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = range * (2 * static_cast<double>(philox.uniform(i)) - 1);
  }
  return Var(Tensor::from(values, shape), true);
}

Tensor targets(std::vector<int64_t> values) {
  const auto n = static_cast<int64_t>(values.size());
  return Tensor::from(values, {n});
}

}  // namespace

TEST_SUITE_BEGIN("loss");

TEST_CASE("softmax: large values, masked values") {
  const Var x(Tensor::from(std::vector<float>{1000, 1000, -INFINITY, -1000, 5, 5, 5, 5}, {2, 4}));
  const Tensor y = softmax(x).data();
  const float expected[] = {0.5f, 0.5f, 0, 0, 0.25f, 0.25f, 0.25f, 0.25f};
  for (int i = 0; i < 8; ++i) CHECK(y.ptr<float>()[i] == expected[i]);
  CHECK(log_softmax(x).data().ptr<float>()[3] == doctest::Approx(-2000.693147));
}

TEST_CASE("softmax: float32 exp is accurate over its whole range") {
  std::vector<float> values{0};
  for (int i = 1; i < 4000; ++i) values.push_back(-0.02f * static_cast<float>(i));
  const Var x(Tensor::from(values, {4000}));
  const Tensor y = softmax(x).data();
  double sum = 0;
  for (const float v : values) sum += std::exp(static_cast<double>(v));
  for (size_t i = 0; i < values.size(); ++i) {
    const double expected = std::exp(static_cast<double>(values[i])) / sum;
    if (std::abs(y.ptr<float>()[i] / expected - 1) > 1e-6) FAIL("exp(", values[i], ")");
  }
}

TEST_CASE("cross_entropy: names the first bad target") {
  const Var logits(Tensor::zeros({3, 4}));
  CHECK_THROWS_WITH_AS(cross_entropy(logits, targets({0, 4, 9})),
                       doctest::Contains("cross_entropy: target of row 1 is 4, there are 4 classes"),
                       ShapeError);
  CHECK_THROWS_AS(cross_entropy(logits, targets({0, -1, 2})), ShapeError);
  CHECK_NOTHROW(cross_entropy(logits, targets({0, -100, 2})));
  CHECK_THROWS_AS(cross_entropy(logits, targets({0, 1})), ShapeError);
  CHECK_THROWS_AS(cross_entropy(logits, Tensor::zeros({3})), DTypeError);
}

TEST_CASE("cross_entropy: nothing but ignored rows costs nothing") {
  const Var logits = noise({2, 3}, 1);
  const Var loss = cross_entropy(logits, targets({-100, -100}));
  CHECK(loss.data().item() == 0);
  backward(loss);
  for (int i = 0; i < 6; ++i) CHECK(logits.grad().ptr<double>()[i] == 0);
}

TEST_CASE("cross_entropy: stable for huge logits") {
  const Var logits(Tensor::from(std::vector<float>{5e4f, 0, -5e4f}, {1, 3}), true);
  const Var loss = cross_entropy(logits, targets({1}));
  CHECK(loss.data().item() == doctest::Approx(5e4));
  backward(loss);
  CHECK(logits.grad().ptr<float>()[0] == 1);
  CHECK(logits.grad().ptr<float>()[1] == -1);
}

TEST_CASE("bce_with_logits: stable for huge logits") {
  const Var x(Tensor::from(std::vector<float>{1e4f, -1e4f}, {2})),
      t(Tensor::from(std::vector<float>{0, 0}, {2}));
  const Tensor y = bce_with_logits(x, t, Reduction::None).data();
  CHECK(y.ptr<float>()[0] == 1e4f);
  CHECK(y.ptr<float>()[1] == 0);
}

TEST_CASE("attention: the composition of matmul and softmax") {
  // One head: (N, T, 1, d) holds the same numbers as (N, T, d).
  const int64_t n = 3, t = 130, s = 70, d = 8;
  const Var q = noise({n, t, d}, 1, 2), k = noise({n, s, d}, 2, 2), v = noise({n, s, d}, 3);
  const Tensor dy = noise({n, t, d}, 4).data();
  const Var scores = scale(matmul(q, k, {.transpose_b = true}), 0.5);
  backward(matmul(softmax(scores), v), dy);

  const Shape heads_q{n, t, 1, d}, heads_k{n, s, 1, d};
  const Var q4(q.data().view(heads_q), true), k4(k.data().view(heads_k), true),
      v4(v.data().view(heads_k), true);
  backward(attention(q4, k4, v4, {.scale = 0.5, .causal = false, .key_padding = {}}), dy.view(heads_q));
  for (const auto& [plain, fused] : {std::pair(q, q4), std::pair(k, k4), std::pair(v, v4)}) {
    const Tensor a = plain.grad(), b = fused.grad();
    double worst = 0;
    for (int64_t i = 0; i < a.numel(); ++i) {
      worst = std::max(worst, std::abs(a.ptr<double>()[i] - b.ptr<double>()[i]));
    }
    CHECK(worst < 1e-13);
  }
}

TEST_CASE("attention: a query that sees no key yields zeros") {
  const Var q = noise({1, 2, 1, 4}, 1), k = noise({1, 3, 1, 4}, 2), v = noise({1, 3, 1, 4}, 3);
  const Tensor padding = Tensor::from(std::vector<uint8_t>{1, 1, 1}, {1, 3});
  const Var y = attention(q, k, v, {.scale = 0, .causal = false, .key_padding = padding});
  backward(y, Tensor::full({1, 2, 1, 4}, 1, DType::F64));
  for (int i = 0; i < 8; ++i) {
    CHECK(y.data().ptr<double>()[i] == 0);
    CHECK(q.grad().ptr<double>()[i] == 0);
  }
  for (int i = 0; i < 12; ++i) CHECK(v.grad().ptr<double>()[i] == 0);
}

TEST_SUITE_END();

}  // namespace lathe
