// Golden files about oscillations: 09 and 10.

#include <cmath>

#include "autograd/ops/elementwise.h"
#include "quant/math/lsq.h"
#include "quant/math/oscillation.h"
#include "quant/ops/ops.h"
#include "quant/weight_schedule.h"
#include "tests/golden/quant_check.h"

namespace lathe::golden {
namespace {

constexpr double kWide = 100;  // codes of the toys never reach it

void oscillation(QuantCheck& check, const Value& cases) {
  for (const Value& one : cases.items()) {
    const std::string name = case_name(one);
    const Var w = leaf(need(one, "W"));
    const Var w_hat = absmax_quantize(w, static_cast<int>(need(one, "bits").as_int()), 0, true);
    check.equal(name + " W_hat", w_hat.data(), need(one, "W_hat"));
    const Var term = scale(oscillation_penalty(w, w_hat), need(one, "lam").as_real());
    check.equal(name + " reg_value", term.data(), need(one, "reg_value"));
    backward(term);
    check.equal(name + " grad", w.grad(), need(one, "grad_author"));
  }
}

void dampening(QuantCheck& check, const Value& cases) {
  for (const Value& one : cases.items()) {
    const std::string aggregation = need(one, "aggregation").as_string();
    const Var w = leaf(need(one, "w")), step = leaf(need(one, "scale"));
    const int bits = static_cast<int>(need(one, "n_bits").as_int());
    const Dampening kind = aggregation == "sum"    ? Dampening::Sum
                           : aggregation == "mean" ? Dampening::Mean
                                                   : Dampening::KernelMean;
    const kernels::LsqGrid grid = lsq_grid(bits, true, w.data().numel(), 0, false);
    const Var w_hat = lsq_quantize(w, step, grid);
    const Var loss = dampening_penalty(w, w_hat, step, grid, kind);
    check.equal(aggregation + " loss", loss.data(), need(one, "loss"));
    backward(loss);
    check.equal(aggregation + " grad_w", w.grad(), need(one, "grad_w"));
    check.equal(aggregation + " grad_scale", step.grad(), need(one, "grad_scale"));
  }
}

// Histories of 6 numbers for one weight, whose code was `first` before the first step.
Tensor history_of(double first) {
  return tensor_of({first, 0, 0, first, 0, 0});
}

void tracker(QuantCheck& check, const Value& cases) {
  for (const Value& one : cases.items()) {
    const std::vector<double> codes = flat(need(one, "x_int"));
    Tensor history = history_of(codes.front());
    std::vector<double> reversed, frequency;
    for (const double code : codes) {
      const double before = history.ptr<double>()[2];
      Tensor x = tensor_of({code});
      const double momentum = need(one, "momentum").as_real();
      kernels::oscillation_step(x, history, momentum, 0);
      frequency.push_back(history.ptr<double>()[2]);
      reversed.push_back(frequency.back() > before ? 1 : 0);
    }
    check.equal(case_name(one) + " ema_frequency", frequency, flat(need(one, "ema_frequency")));
    check.equal(case_name(one) + " oscillated", reversed, flat(need(one, "oscillated")));
  }
}

void freezing(QuantCheck& check, const Value& section) {
  const std::vector<Value>& steps = need(section, "steps").items();
  Tensor history = history_of(need(steps.front(), "x_int_in").as_real());
  int number = 0;
  for (const Value& step : steps) {
    const std::string name = concat("step ", number++);
    Tensor x = tensor_of({need(step, "x_int_in").as_real()});
    kernels::oscillation_step(x, history, need(section, "momentum").as_real(),
                              need(section, "threshold").as_real());
    const double* h = history.ptr<double>();
    check.equal(name + " x_int_out", x, need(step, "x_int_out"));
    check.equal(name, {h[2], h[3], h[4], h[5]},
                {need(step, "ema_osc").as_real(), need(step, "ema_x_int").as_real(),
                 need(step, "frozen").as_bool() ? 1.0 : 0.0, need(step, "frozen_x_int").as_real()});
  }
}

// L = 1/2 (x (q(w) - w*))^2 and its parts (methods.md section 5.1).
void decomposition(QuantCheck& check, const Value& cases) {
  int number = 0;
  for (const Value& one : cases.items()) {
    const std::string name = concat("case ", number++, " ");
    const double w = need(one, "w").as_real(), x = need(one, "x").as_real(),
                 goal = need(one, "w_star").as_real();
    const auto loss = [&](const Var& weight) { return scale(square(add_scalar(weight, -goal)), x * x / 2); };
    const kernels::LsqGrid grid = lsq_grid(static_cast<int>(need(one, "bits").as_int()), true, 1, 0, false);
    const Var quantized_leaf = leaf(need(one, "w")), float_leaf = leaf(need(one, "w"));
    const Var q = lsq_quantize(quantized_leaf, leaf(need(one, "scale"), false), grid);
    check.equal(name + "q_w", q.data(), need(one, "q_w"));
    const Var quantized_loss = loss(q), float_loss = loss(float_leaf);
    check.equal(name + "L_qat", quantized_loss.data(), need(one, "L_qat"), 1e-15);
    check.equal(name + "L_fp", float_loss.data(), need(one, "L_fp"), 1e-15);
    const double value = q.data().item(), term = x * x / 2 * (value * value - w * w),
                 cross = -x * x * goal * (value - w);
    check.equal(name + "osc_term", term, need(one, "osc_term").as_real(), 1e-15);
    check.equal(name + "cross_term", cross, need(one, "cross_term").as_real(), 1e-15);
    check.equal(name + "sum", quantized_loss.data().item(), float_loss.data().item() + term + cross, 1e-15);
    backward(quantized_loss);
    backward(float_loss);
    check.equal(name + "g_qat_STE", quantized_leaf.grad(), need(one, "g_qat_STE"), 1e-15);
    check.equal(name + "g_fp", float_leaf.grad(), need(one, "g_fp"), 1e-15);
    check.equal(name + "g_osc", x * x * (value - w), need(one, "g_osc").as_real(), 1e-15);
  }
}

// Gradient descent on sigma2 / 2 (w - w*)^2 plus the pull of the level: weight * (q(w) - w) for the
// regulariser, sigma2 times that for straight-through training, whose gradient is sigma2 (q(w) - w*).
struct Toy {
  double w, goal, step, lr, sigma2;
  double pull;  ///< the weight of q(w) - w
  double level() const { return quant::lsq_value(w, step, 0.0, -kWide, kWide); }
  void descend() { w -= lr * (sigma2 * (w - goal) + pull * (level() - w)); }
};

void toy(QuantCheck& check, const Value& cases) {
  for (const Value& one : cases.items()) {
    const double sigma2 = need(one, "sigma2").as_real();
    Toy toy{need(one, "w0").as_real(),
            need(one, "w_star").as_real(),
            need(one, "step").as_real(),
            need(one, "lr").as_real(),
            sigma2,
            sigma2};
    std::vector<double> w, q;
    for (size_t i = 0; i < need(one, "w").items().size(); ++i) {
      w.push_back(toy.w);
      q.push_back(toy.level());
      toy.descend();
    }
    check.equal(case_name(one) + " w", w, flat(need(one, "w")));
    check.equal(case_name(one) + " q", q, flat(need(one, "q")));
  }
}

// A law: within 1e-3.
void toy_frequency(QuantCheck& check, const Value& cases) {
  constexpr int kWarmUp = 8000, kWindow = 32000;
  constexpr double kLaw = 1e-3;
  for (const Value& one : cases.items()) {
    const double sigma2 = need(one, "sigma2").as_real(), share = need(one, "frac").as_real(),
                 step = need(one, "step").as_real(), lr = need(one, "lr").as_real();
    Toy toy{need(one, "w0").as_real(), share * step, step, lr, sigma2, sigma2};
    quant::Oscillation<double> history{};
    double sum = 0, reversals = 0;
    for (int i = 0; i < kWarmUp + kWindow; ++i) {
      const double q = toy.level();
      quant::oscillation_step(history, q / step, 1.0,
                              0.0);  // momentum 1: the frequency is this step's reversal
      if (i >= kWarmUp) {
        sum += q;
        reversals += history.frequency;
      }
      toy.descend();
    }
    const std::string name = concat("f ", share, " lr ", lr);
    check.equal(name + " mean_q", sum / kWindow, need(one, "mean_q").as_real(), kLaw);
    check.equal(name + " osc_per_step", reversals / kWindow, need(one, "osc_per_step").as_real(), kLaw);
    check.equal(name + " law", reversals / kWindow, 2 * std::min(share, 1 - share), kLaw);
  }
}

void threshold_law(QuantCheck& check, const Value& section) {
  constexpr int kSteps = 20000;
  for (const Value& one : need(section, "checked").items()) {
    const double distance = need(one, "dist").as_real(), weight = need(one, "lam").as_real();
    Toy toy{distance, distance, 1.0, 0.01, 1.0, weight};
    int changes = 0;
    for (int i = 0; i < kSteps; ++i) {
      const double before = toy.level();
      toy.descend();
      changes += i > kSteps / 2 && toy.level() != before ? 1 : 0;
    }
    check.equal(concat("distance ", distance, " weight ", weight), changes > 0 ? 1 : 0,
                need(one, "oscillates").as_bool() ? 1 : 0);
  }
}

void cosine_schedule(QuantCheck& check, const Value& cases) {
  for (const Value& one : cases.items()) {
    const CosineRamp ramp{need(one, "start").as_real(), need(one, "end").as_real(),
                          need(one, "rel_start").as_real()};
    for (const auto& [step, value] : need(one, "values").members())
      check.equal("step " + step, ramp.at({std::stoll(step), need(one, "t_max").as_int()}), value.as_real());
  }
}

}  // namespace

std::vector<QuantRow> oscillation_rows() {
  constexpr const char* kToys = "09_oscillation_regularizer_and_toy";
  constexpr const char* kMetrics = "10_oscillation_metrics_dampening";
  return {
      {kToys, "regularizer", oscillation},
      {kToys, "linear_decomposition", decomposition},
      {kToys, "toy", toy},
      {kToys, "toy_frequency", toy_frequency},
      {kMetrics, "dampening", dampening},
      {kMetrics, "tracker", tracker},
      {kMetrics, "freezing", freezing},
      {kMetrics, "cosine_schedule", cosine_schedule},
      {kMetrics, "regulariser_oscillation_threshold", threshold_law},
  };
}

}  // namespace lathe::golden
