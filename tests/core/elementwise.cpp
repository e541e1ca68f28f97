#include "core/kernels/elementwise.h"

#include <limits>

#include <doctest/doctest.h>

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "core/broadcast.h"
#include "core/kernels/activations.h"
#include "core/vector_math.h"
#include "tests/support/kernels.h"

using namespace lathe;
using namespace lathe::tests;

TEST_SUITE_BEGIN("ops");

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr int kUnaryOps = static_cast<int>(UnaryOp::Softplus) + 1;
constexpr int kBinaryOps = static_cast<int>(BinaryOp::Minimum) + 1;

/// Largest error of f32 `approximate` over [lo, hi], in units of the f32 spacing at the exact value.
double worst_ulps(float (*approximate)(float), double (*exact)(double), float lo, float hi) {
  double worst = 0;
  constexpr int kPoints = 200000;
  for (int i = 0; i <= kPoints; ++i) {
    const float x = lo + (hi - lo) * static_cast<float>(i) / kPoints;
    const double y = exact(x);
    const auto rounded = static_cast<float>(std::abs(y));
    const double ulp = std::nextafter(rounded, kInf) - rounded;
    worst = std::max(worst, std::abs(approximate(x) - y) / ulp);
  }
  return worst;
}

float exp32(float x) {
  return math::exp(x);
}
float exp2_32(float x) {
  return math::exp2(x);
}
float log32(float x) {
  return math::log(x);
}
float log1p32(float x) {
  return math::log1p(x);
}
float tanh32(float x) {
  return math::tanh(x);
}
float erf32(float x) {
  return math::erf(x);
}

float cdf32(float x) {
  return math::normal(x).cdf;
}
double cdf64(double x) {
  return 0.5 * std::erfc(-x * std::sqrt(0.5));
}
float density32(float x) {
  return math::normal(x).density;
}

Tensor from(const std::vector<float>& values) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())});
}

/// Element `index` of y's offset in an operand stretched to y.
int64_t stretched_offset(const Shape& y, const Shape& operand, int64_t index) {
  int64_t offset = 0, dense = 1;
  for (int i = 1; i <= y.rank(); ++i) {
    const int64_t position = index % y[-i];
    index /= y[-i];
    if (i > operand.rank()) continue;
    if (operand[-i] != 1) offset += position * dense;
    dense *= operand[-i];
  }
  return offset;
}

}  // namespace

TEST_CASE("vector math: accuracy against libm in f64") {
  CHECK(worst_ulps(exp32, std::exp, -87, 88) < 2);
  CHECK(worst_ulps(exp2_32, std::exp2, -125, 127) < 2);
  CHECK(worst_ulps(log32, std::log, 1e-6f, 4) < 2);
  CHECK(worst_ulps(log32, std::log, 1e-45f, 1e-36f) < 2);
  CHECK(worst_ulps(log32, std::log, 1, 1e30f) < 2);
  CHECK(worst_ulps(log1p32, std::log1p, 0, 1) < 3);
  CHECK(worst_ulps(log1p32, std::log1p, 0, 1e-3f) < 2);
  CHECK(worst_ulps(tanh32, std::tanh, -10, 10) < 3);
  CHECK(worst_ulps(tanh32, std::tanh, -0.01f, 0.01f) < 2);
  CHECK(worst_ulps(erf32, std::erf, -5, 5) < 3);
  CHECK(worst_ulps(erf32, std::erf, -0.01f, 0.01f) < 2);
  CHECK(worst_ulps(cdf32, cdf64, -1, 8) < 8);
  CHECK(worst_ulps(cdf32, cdf64, -12, -1) < 80);  // x^2 / 2 is rounded before its exponential is taken
  CHECK(worst_ulps(
            density32, [](double x) { return math::normal(x).density; }, -1, 1) < 3);
}

TEST_CASE("vector math: ends of the range, NaN") {
  for (int n = -149; n < 128; ++n) CHECK(math::exp2(static_cast<float>(n)) == std::ldexp(1.0f, n));
  CHECK(math::exp2(200.0f) == kInf);
  CHECK(math::exp2(-200.0f) == 0.0f);
  CHECK(std::isnan(math::exp2(std::nanf(""))));
  CHECK(math::exp(0.0f) == 1.0f);
  CHECK(math::exp(100.0f) == kInf);
  CHECK(math::exp(kInf) == kInf);
  CHECK(math::exp(-kInf) == 0.0f);
  CHECK(math::exp(-200.0f) == 0.0f);
  CHECK(math::exp(-100.0f) == doctest::Approx(std::exp(-100.0)).epsilon(0.03));  // subnormal
  CHECK(std::isnan(math::exp(kNaN)));
  CHECK(math::log(1.0f) == 0.0f);
  CHECK(math::log(0.0f) == -kInf);
  CHECK(math::log(kInf) == kInf);
  CHECK(std::isnan(math::log(-1.0f)));
  CHECK(std::isnan(math::log(kNaN)));
  CHECK(math::normal(0.0f).cdf == doctest::Approx(0.5).epsilon(1e-7));
  CHECK(math::normal(kInf).cdf == 1.0f);
  CHECK(math::normal(-kInf).cdf == 0.0f);
  CHECK(math::normal(-20.0f).cdf == 0.0f);
  CHECK(math::normal(20.0f).density == 0.0f);
  for (const float large : {3000.0f, 4180.0f, 5000.0f, 5900.0f, 1e30f}) {  // past all powers of two
    CHECK(math::normal(large).cdf == 1.0f);
    CHECK(math::normal(-large).cdf == 0.0f);
    CHECK(math::normal(large).density == 0.0f);
  }
  CHECK(std::isnan(math::normal(kNaN).cdf));
  CHECK(std::isnan(math::normal(kNaN).density));
  CHECK(math::tanh(50.0f) == 1.0f);
  CHECK(math::tanh(-kInf) == -1.0f);
  CHECK(std::isnan(math::tanh(kNaN)));
  CHECK(math::erf(50.0f) == 1.0f);
  CHECK(math::erf(-kInf) == -1.0f);
  CHECK(std::isnan(math::erf(kNaN)));
  CHECK(math::sigmoid(-200.0f) == 0.0f);
  CHECK(math::sigmoid(200.0f) == 1.0f);
}

TEST_CASE("broadcast_shape") {
  CHECK(broadcast_shape("t", {3, 1, 5}, {4, 5}) == Shape{3, 4, 5});
  CHECK(broadcast_shape("t", {}, {2}) == Shape{2});
  CHECK(broadcast_shape("t", {0, 1}, {1, 4}) == Shape{0, 4});
  CHECK_THROWS_AS(broadcast_shape("t", {3}, {4}), ShapeError);
  CHECK_THROWS_AS(add(Var(Tensor::zeros({2})), Var(Tensor::zeros({2}, DType::F64))), DTypeError);
}

TEST_CASE("binary: every pair of shapes equals the definition") {
  const std::vector<std::pair<Shape, Shape>> pairs = {{{70001}, {70001}},
                                                      {{70001}, {}},
                                                      {{}, {70001}},
                                                      {{513, 129}, {129}},
                                                      {{129}, {513, 129}},
                                                      {{40000, 3}, {40000, 1}},
                                                      {{7, 1, 3}, {1, 5, 3}},
                                                      {{2, 3, 4, 5}, {2, 1, 4, 1}},
                                                      {{1, 3, 1, 5}, {2, 3, 4, 5}},
                                                      {{3, 1}, {1, 4}},
                                                      {{0, 3}, {1}},
                                                      {{1, 1}, {1}}};
  for (const auto& [sa, sb] : pairs) {
    const Tensor a = random_tensor(sa, 1), b = random_tensor(sb, 2, 0.5, 2);
    Tensor y = Tensor::empty(broadcast_shape("t", sa, sb));
    kernels::binary(y, a, b, BinaryOp::Sub);
    int64_t wrong = 0;
    for (int64_t i = 0; i < y.numel(); ++i) {
      const float expected = a.ptr<float>()[stretched_offset(y.shape(), sa, i)] -
                             b.ptr<float>()[stretched_offset(y.shape(), sb, i)];
      wrong += y.ptr<float>()[i] != expected;
    }
    CHECK_MESSAGE(wrong == 0, to_string(sa), " ", to_string(sb));
  }
}

TEST_CASE("elementwise: same bits for any number of threads") {
  const Tensor x = random_tensor({257, 513}, 1), z = random_tensor({257, 513}, 2),
               bias = random_tensor({513}, 3);
  for (int op = 0; op < kBinaryOps; ++op) {
    CHECK(thread_invariant([&] {
      Tensor y = x.empty_like();
      kernels::binary(y, x, bias, static_cast<BinaryOp>(op));
      return y;
    }));
  }
  CHECK(thread_invariant([&] {
    Tensor y = x.clone();
    kernels::accumulate(y, z);
    return y;
  }));
  CHECK(thread_invariant([&] {
    Tensor y = x.empty_like();
    kernels::unary(y, x, UnaryOp::Gelu, {});
    return y;
  }));
  CHECK(thread_invariant([&] {
    Tensor y = Tensor::empty({100001});
    kernels::fill(y, 0.1);
    return y;
  }));
}

TEST_CASE("elementwise: every instruction set agrees with the portable one") {
  const Tensor x = random_tensor({1003}, 1, 0.1, 3), dy = random_tensor({1003}, 2);
  for (int op = 0; op < kUnaryOps; ++op) {
    const auto kind = static_cast<UnaryOp>(op);
    const UnaryParameters parameters{.a = 0.7, .b = 1.5};
    CAPTURE(op);
    CHECK(isa_spread([&] {
            Tensor y = x.empty_like();
            kernels::unary(y, x, kind, parameters);
            return y;
          }) < 1e-13);
    CHECK(isa_spread([&] {
            Tensor y = x.empty_like();
            kernels::unary_backward(y, dy, x, kind, parameters);
            return y;
          }) < 1e-13);
  }
  for (int op = 0; op < kBinaryOps; ++op) {
    for (const int side : {0, 1}) {
      CHECK(isa_spread([&] {
              Tensor y = x.empty_like();
              kernels::binary_backward(y, dy, x, dy, static_cast<BinaryOp>(op), side);
              return y;
            }) < 1e-13);
    }
  }
}

TEST_CASE("elementwise: lengths around the vector width write exactly their elements") {
  for (const cpu::Isa isa : isas()) {
    const cpu::ForceIsa force(isa);
    for (int64_t n = 0; n <= 70; ++n) {
      const Tensor x = random_tensor({n}, 5);
      Tensor block = Tensor::full({n + 1}, 9);  // the last element is a guard
      Tensor y = block.rows(0, n);
      kernels::unary(y, x, UnaryOp::Scale, {.a = 2});
      kernels::accumulate(y, x);
      for (int64_t i = 0; i < n; ++i) REQUIRE(y.ptr<float>()[i] == 3 * x.ptr<float>()[i]);
      CHECK(block.ptr<float>()[n] == 9);
    }
  }
}

TEST_CASE("elementwise: NaN passes through") {
  const Tensor bad = from({kNaN});
  Tensor y = bad.empty_like();
  for (int op = 0; op < kUnaryOps; ++op) {
    CAPTURE(op);
    kernels::unary(y, bad, static_cast<UnaryOp>(op), {.a = 0.5, .b = 1});
    CHECK(std::isnan(y.item()));
  }
  for (int op = 0; op < kBinaryOps; ++op) {
    CAPTURE(op);
    kernels::binary(y, bad, from({1}), static_cast<BinaryOp>(op));
    CHECK(std::isnan(y.item()));
    kernels::binary(y, from({1}), bad, static_cast<BinaryOp>(op));
    CHECK(std::isnan(y.item()));
  }
}

TEST_CASE("elementwise: gradients at kinks are the documented ones") {
  const auto gradient = [](const std::function<Var(const Var&)>& op, float at) {
    const Var x(from({at}), true);
    backward(op(x));
    return x.grad().item();
  };
  CHECK(gradient(relu, 0) == 0);
  CHECK(gradient(relu6, 0) == 0);
  CHECK(gradient(relu6, 6) == 0);
  CHECK(gradient(lathe::abs, 0) == 0);
  CHECK(gradient([](const Var& x) { return clamp(x, -1, 2); }, -1) == 1);
  CHECK(gradient([](const Var& x) { return clamp(x, -1, 2); }, 2) == 1);
  CHECK(gradient([](const Var& x) { return clamp(x, -1, 2); }, 2.5f) == 0);
  const Var other(from({3}), true);
  CHECK(gradient([&](const Var& x) { return maximum(x, other); }, 3) == 0.5);
  CHECK(other.grad().item() == 0.5);
  CHECK(gradient([&](const Var& x) { return minimum(x, other.detach()); }, 3) == 0.5);
}

TEST_CASE("add: each leaf gets the gradient in memory of its own") {
  const Var a(from({1, 2}), true), b(from({3, 4}), true);
  const Tensor dy = from({5, 6});
  backward(add(a, b), dy);
  CHECK(same_bits(a.grad(), dy));
  CHECK(same_bits(b.grad(), dy));
  CHECK_FALSE(a.grad().shares_storage(b.grad()));
  CHECK_FALSE(a.grad().shares_storage(dy));
}

TEST_CASE("glu: an odd extent is an error") {
  CHECK_THROWS_AS(glu(Var(Tensor::zeros({2, 3})), -1), ShapeError);
}

TEST_SUITE_END();
