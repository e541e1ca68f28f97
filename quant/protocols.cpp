// Monte-Carlo checks of DiffQ (methods.md sections 3.12 and 15.6).

#include <algorithm>
#include <cmath>

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "quant/cases.h"
#include "quant/ops/ops.h"

namespace lathe {
namespace {

constexpr int64_t kElements = 12, kGroup = 4, kGroups = 3;

Tensor drawn(const char* name, int64_t numel, double lo, double hi) {
  Tensor tensor = Tensor::empty({numel}, DType::F64);
  const Philox philox{2, stream_id(name), 0};
  for (int64_t i = 0; i < numel; ++i)
    tensor.mut<double>()[i] = lo + (hi - lo) * static_cast<double>(philox.uniform(static_cast<uint64_t>(i)));
  return tensor;
}

/// Weights, their goals and logits; the noise of a draw.
struct Problem {
  Tensor w = drawn("protocol weights", kElements, -1, 1);
  Tensor goal = drawn("protocol goals", kElements, -1, 1);
  Tensor logits = drawn("protocol logits", kGroups, -3, -1);
  kernels::DiffqWidths widths = {};
  bool gaussian = true;

  Var noisy(const Var& l, int64_t draw) const {
    const Philox philox{
        .seed = 5, .stream = stream_id("protocol noise"), .step = static_cast<uint32_t>(draw)};
    return diffq_noise(Var(w), diffq_unit(l, widths), {.philox = philox, .gaussian = gaussian}, kGroup);
  }
};

/// The mean gradient over draws against differences of the mean loss with the same draws.
GradcheckRow common_numbers(const Problem& problem, const std::string& name) {
  constexpr int64_t kDraws = 1000;
  constexpr double kStep = 1e-5;
  GradcheckRow row{.name = name, .tolerance = 1e-6, .message = {}};
  const auto loss = [&](const Var& l, int64_t draw) {
    return sum(square(sub(tanh(problem.noisy(l, draw)), Var(problem.goal))));
  };
  const Var logits(problem.logits, true);
  for (int64_t draw = 0; draw < kDraws; ++draw) backward(loss(logits, draw));
  for (int64_t s = 0; s < kGroups; ++s) {
    const auto mean_at = [&](double h) {
      Tensor moved = problem.logits.clone();
      moved.mut<double>()[s] += h;
      double total = 0;
      for (int64_t draw = 0; draw < kDraws; ++draw) total += loss(Var(moved), draw).data().item();
      return total / kDraws;
    };
    const double n = (mean_at(kStep) - mean_at(-kStep)) / (2 * kStep);
    const double a = logits.grad().ptr<double>()[s] / kDraws;
    row.probe(std::abs(a - n) / std::max({1.0, std::abs(a), std::abs(n)}));
  }
  row.passed = row.worst <= row.tolerance;
  return row;
}

/// Of L = 1/2 |w + R u e - goal|^2 the expected gradient for a group's logit is R^2 u u' E[e^2] times its
/// elements: the mean over draws is within so many standard errors of it.
GradcheckRow expectation(const Problem& problem, const std::string& name) {
  constexpr int64_t kDraws = 20000;
  GradcheckRow row{.name = name, .tolerance = 5, .message = "in standard errors"};
  double sums[kGroups] = {}, squares[kGroups] = {};
  for (int64_t draw = 0; draw < kDraws; ++draw) {
    const Var logits(problem.logits, true);
    backward(scale(sum(square(sub(problem.noisy(logits, draw), Var(problem.goal)))), 0.5));
    for (int64_t s = 0; s < kGroups; ++s) {
      const double g = logits.grad().ptr<double>()[s];
      sums[s] += g;
      squares[s] += g * g;
    }
  }
  const GroupRange range = group_range(problem.w, 0, "protocol");
  const double span = range.hi.item() - range.lo.item(), variance = problem.gaussian ? 0.25 : 1.0 / 12;
  for (int64_t s = 0; s < kGroups; ++s) {
    const double b = diffq_bits(Var(problem.logits), problem.widths).data().ptr<double>()[s];
    const double t = (b - problem.widths.min_bits) / (problem.widths.max_bits - problem.widths.min_bits);
    const double unit = 1 / (std::exp2(b) - 1);
    const double dunit = -std::log(2.0) * std::exp2(b) * unit * unit *
                         (problem.widths.max_bits - problem.widths.min_bits) * t * (1 - t);
    const double expected = kGroup * span * span * unit * dunit * variance;
    const double mean = sums[s] / kDraws, error = std::sqrt((squares[s] / kDraws - mean * mean) / kDraws);
    row.probe(std::abs(mean - expected) / error);
  }
  row.passed = row.worst <= row.tolerance;
  return row;
}

}  // namespace

std::vector<GradcheckRow> gradcheck_protocols(std::string_view filter) {
  std::vector<GradcheckRow> rows;
  for (const bool gaussian : {true, false}) {
    Problem problem;
    problem.gaussian = gaussian;
    const char* law = gaussian ? "gaussian" : "uniform";
    const std::string common = concat("quant diffq mean over draws, ", law),
                      expected = concat("quant diffq expectation (standard errors), ", law);
    if (common.find(filter) != std::string::npos) rows.push_back(common_numbers(problem, common));
    if (expected.find(filter) != std::string::npos) rows.push_back(expectation(problem, expected));
  }
  return rows;
}

}  // namespace lathe
