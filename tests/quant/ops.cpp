// Quantization ops: gradients against frozen surrogates, edges of the formulas, refused input.

#include "quant/ops/ops.h"

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "core/error.h"
#include "quant/cases.h"
#include "tests/golden/quant.h"
#include "tests/support/golden.h"

namespace lathe {
namespace {

Tensor values(const std::vector<double>& list) {
  return Tensor::from(list, {static_cast<int64_t>(list.size())});
}

std::vector<double> list(const Tensor& tensor) {
  return {tensor.ptr<double>(), tensor.ptr<double>() + tensor.numel()};
}

/// The case whose op's gradient of input `input` is multiplied by `factor`.
QuantCase with_wrong_gradient(const QuantCase& good, size_t input, double factor) {
  QuantCase bad = good;
  bad.op.apply = [apply = good.op.apply, input, factor](const std::vector<Var>& in) {
    std::vector<Var> seen = in;
    seen[input] = record("planted", in[input].data(), {in[input]}, {},
                         [factor](Backward& b) { b.pass(0, scale(Var(b.dy()), factor).data()); });
    return apply(seen);
  };
  return bad;
}

}  // namespace

TEST_SUITE_BEGIN("quant ops");

TEST_CASE("every quantizer's gradient is that of its frozen surrogate") {
  for (const QuantCase& one : quant_cases()) {
    const GradcheckRow row = gradcheck_case(one);
    CHECK_MESSAGE(row.passed, one.op.name, ": ", row.message);
    CHECK(row.tolerance <= 1e-6);
  }
}

TEST_CASE("DiffQ's gradient for its bits is right on average") {
  const std::vector<GradcheckRow> rows = gradcheck_protocols();
  CHECK(rows.size() == 4);
  for (const GradcheckRow& row : rows) CHECK_MESSAGE(row.passed, row.name, ": ", row.worst);
}

TEST_CASE("a wrong sign or factor in any gradient of any quantizer is caught") {
  for (const QuantCase& one : quant_cases()) {
    for (size_t input = 0; input < one.op.inputs.size(); ++input) {
      if (!one.op.inputs[input].requires_grad) continue;
      for (const double factor : {-1.0, 1.1}) {
        CAPTURE(one.op.name);
        CAPTURE(input);
        CHECK(!gradcheck_case(with_wrong_gradient(one, input, factor)).passed);
      }
    }
  }
}

TEST_CASE("a surrogate with another value than the op is caught") {
  QuantCase bad = quant_cases().front();
  bad.surrogate = [good = bad.surrogate](const FrozenTensors& in) {
    std::vector<quant::Frozen> y = good(in);
    y[0].v += 1e-6;
    return y;
  };
  const GradcheckRow row = gradcheck_case(bad);
  CHECK(!row.passed);
  CHECK(row.message.find("of the surrogate is") != std::string::npos);
}

TEST_CASE("a range that is empty gives its constant back and no gradient but the straight-through one") {
  const Var same(values({0.3, 0.3, 0.3}), true), zeros(values({0, 0, 0}), true);
  CHECK(list(minmax_quantize(same, 4).data()) == std::vector<double>{0.3, 0.3, 0.3});
  CHECK(list(absmax_quantize(zeros, 4).data()) == std::vector<double>{0, 0, 0});
  const Var logits(values({0}), true);
  const Var noisy =
      diffq_noise(same, diffq_unit(logits, {}), {.philox = {}, .given = values({1, -1, 0.5})}, 0);
  CHECK(list(noisy.data()) == std::vector<double>{0.3, 0.3, 0.3});
  backward(sum(noisy));
  CHECK(list(logits.grad()) == std::vector<double>{0});
  for (const double gradient : list(same.grad())) CHECK(gradient == doctest::Approx(1));
  const Var dead_zone(values({3}), true);
  const Var nothing = codeq_quantize(zeros, dead_zone, Var(), {.fixed_bits = 4});
  CHECK(list(nothing.data()) == std::vector<double>{0, 0, 0});
  backward(sum(nothing));
  CHECK(list(dead_zone.grad()) == std::vector<double>{0});
}

TEST_CASE("CoDeQ: a weight of exactly zero gets a gradient only where the option says so") {
  for (const bool option : {false, true}) {
    const Var w(values({0.5, 0, -0.2}), true), dead_zone(values({0.7}), true);
    backward(sum(codeq_quantize(w, dead_zone, Var(), {.fixed_bits = 4, .zero_weight_grad = option})));
    CHECK(list(w.grad()) == std::vector<double>{1, option ? 1.0 : 0.0, 1});
  }
}

TEST_CASE("CoDeQ: the zone is a threshold at half its width, and scaling weights scales values") {
  std::vector<double> w;
  for (int i = -20; i <= 20; ++i) w.push_back(0.0497 * i + 0.001);
  const Tensor dead_zone = values({0.4});
  const kernels::CodeqShape shape{.fixed_bits = 4, .eps = 0};
  const double half = codeq_grid(values(w), dead_zone, Tensor(), shape).ptr<double>()[1] / 2;
  const auto quantized = [&](double factor) {
    return list(codeq_quantize(scale(Var(values(w)), factor), Var(dead_zone), Var(), shape).data());
  };
  const std::vector<double> once = quantized(1), tripled = quantized(3);
  for (size_t i = 0; i < w.size(); ++i) {
    CHECK((once[i] == 0) == (std::abs(w[i]) <= half));
    CHECK(tripled[i] == doctest::Approx(3 * once[i]));
  }
}

TEST_CASE(
    "DiffQ: noise has mean 0 and the deviation of half a step, uniform noise that of a step / sqrt(12)") {
  const int64_t n = 200000;
  Tensor w = Tensor::zeros({n}, DType::F64);
  w.mut<double>()[0] = 1;  // the range is 1
  for (const bool gaussian : {true, false}) {
    const kernels::NoiseSource noise{.philox = {.seed = 5, .stream = stream_id("noise"), .step = 2},
                                     .gaussian = gaussian};
    const std::vector<double> y = list(diffq_noise(Var(w), Var(values({0.1})), noise, 0).data());
    double mean = 0, square = 0;
    for (size_t i = 1; i < y.size(); ++i) {
      mean += y[i] / static_cast<double>(n);
      square += y[i] * y[i] / static_cast<double>(n);
    }
    const double deviation = gaussian ? 0.05 : 0.1 / std::sqrt(12.0);
    CHECK(std::abs(mean) < 4 * deviation / std::sqrt(static_cast<double>(n)));
    CHECK(std::sqrt(square) == doctest::Approx(deviation).epsilon(0.01));
  }
}

TEST_CASE("values that are not finite and widths that do not exist are refused") {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    const Var w(values({0.1, bad, -0.2}), true), one(values({1}), true);
    CHECK_THROWS_AS(minmax_quantize(w, 4), DivergedError);
    CHECK_THROWS_AS(absmax_quantize(w, 4), DivergedError);
    CHECK_THROWS_AS(diffq_noise(w, one, {}, 0), DivergedError);
    CHECK_THROWS_AS(codeq_quantize(w, one, Var(), {.fixed_bits = 4}), DivergedError);
  }
  const Var w(values({0.1, 0.7, -0.2}), true), one(values({1}), true);
  CHECK_THROWS_AS(minmax_quantize(w, 0), ConfigError);
  CHECK_THROWS_AS(minmax_quantize(w, 16), ConfigError);
  CHECK_THROWS_AS(absmax_quantize(w, 1), ConfigError);
  CHECK_THROWS_AS(lsq_grid(1, true, 3), ConfigError);
  CHECK_THROWS_AS(codeq_quantize(w, one, Var(), {.fixed_bits = 1}), ConfigError);
  CHECK_THROWS_AS(codeq_quantize(w, one, one, {.min_bits = 8, .max_bits = 8}), ConfigError);
  CHECK_THROWS_AS(diffq_logit(2, {}), ConfigError);
  CHECK_THROWS_AS(diffq_unit(one, {.min_bits = 0}), ConfigError);
  CHECK_THROWS_AS(lsq_quantize(w, Var(values({1, 2})), lsq_grid(4, true, 3)), ShapeError);
  CHECK_THROWS_AS(minmax_quantize(Var(Tensor::empty({0}, DType::F64)), 4), ShapeError);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("golden quant");

TEST_CASE("golden quantizer files: none fails, and what is unsupported is known") {
  const auto folder = tests::golden_folder("quant");
  if (!folder) return;
  std::string unsupported;
  for (const golden::GoldenResult& row : golden::run_quant_goldens(*folder)) {
    CHECK_MESSAGE(row.status != golden::GoldenResult::Failed, row.file, " ", row.check, ": ", row.message);
    if (row.status == golden::GoldenResult::Unsupported) unsupported += row.file + " " + row.check + "; ";
  }
  CHECK(unsupported.empty());
}

TEST_SUITE_END();

}  // namespace lathe
