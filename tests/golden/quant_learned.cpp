// Golden files of quantizers that learn: 02 to 08, 12, 13.

#include <cmath>

#include "autograd/ops/elementwise.h"
#include "core/kernels/optim.h"
#include "quant/math/codeq.h"
#include "quant/ops/ops.h"
#include "tests/golden/quant_check.h"

namespace lathe::golden {
namespace {

int whole(const Value& one, std::string_view key) {
  return static_cast<int>(need(one, key).as_int());
}

void lsq(QuantCheck& check, const Value& cases) {
  for (const Value& one : cases.items()) {
    const std::string name = case_name(one);
    const Var v = leaf(need(one, "v")), step = leaf(need(one, "s"));
    const kernels::LsqGrid grid = lsq_grid(whole(one, "bits"), true, v.data().numel());
    check.equal(name + " g", grid.gradient_scale, need(one, "g").as_real());
    const Var y = lsq_quantize(v, step, grid);
    check.equal(name + " v_hat", y.data(), need(one, "v_hat"));
    backward(y, leaf(need(one, "upstream")).data());
    check.equal(name + " grad_v", v.grad(), need(one, "grad_v"));
    check.equal(name + " grad_s", step.grad(), need(one, "grad_s"));
  }
}

void lsq_init(QuantCheck& check, const Value& init) {
  const Tensor w = leaf(need(init, "w")).data();
  for (const Value& row : need(init, "table").items()) {
    const int bits = whole(row, "bits");
    const std::string name = concat(bits, " bits ");
    check.equal(name + "paper", lsq_initial_step(w, 0, bits, LsqInit::Paper), need(row, "paper"));
    check.equal(name + "diffq", lsq_initial_step(w, 0, bits, LsqInit::Diffq), need(row, "diffq_code"));
  }
}

void lsq_plus(QuantCheck& check, const Value& cases) {
  for (const Value& one : cases.items()) {
    const std::string name = case_name(one);
    const Var x = leaf(need(one, "x")), step = leaf(need(one, "s")), offset = leaf(need(one, "beta"));
    kernels::LsqGrid grid;
    grid.lo = need(one, "n").as_real();
    grid.hi = need(one, "p").as_real();
    grid.gradient_scale = need(one, "g").as_real();
    const Var y = lsq_plus_quantize(x, step, offset, grid);
    check.equal(name + " x_hat", y.data(), need(one, "x_hat"));
    backward(y, leaf(need(one, "upstream")).data());
    check.equal(name + " grad_x", x.grad(), need(one, "grad_x"));
    check.equal(name + " grad_s", step.grad(), need(one, "grad_s"));
    check.equal(name + " grad_beta", offset.grad(), need(one, "grad_beta"));
  }
}

void diffq_noise_cases(QuantCheck& check, const Value& cases) {
  for (const Value& one : cases.items()) {
    const std::string name = case_name(one);
    const kernels::DiffqWidths widths{.min_bits = need(one, "min_bits").as_real(),
                                      .max_bits = need(one, "max_bits").as_real(),
                                      .noise_parameter = need(one, "param").as_string() == "noise"};
    for (const bool through_range : {true, false}) {
      const Var w = leaf(need(one, "w")), logits = leaf(need(one, "logits"));
      check.equal(name + " bits", diffq_bits(logits, widths).data(), need(one, "bits"));
      const Var unit = diffq_unit(logits, widths);
      check.equal(name + " unit", unit.data(), need(one, "unit_per_group"));
      kernels::NoiseSource noise;
      noise.given = leaf(need(one, "eps")).data();
      const Var y = diffq_noise(w, unit, noise, need(one, "group_size").as_int(), through_range);
      check.equal(name + " noisy_w", y.data(), need(one, "noisy_w"));
      backward(y, leaf(need(one, "upstream")).data());
      const char* grad = through_range ? "grad_w" : "grad_w_if_range_detached";
      check.equal(concat(name, " ", grad), w.grad(), need(one, grad));
      check.equal(name + " grad_logit", logits.grad(), need(one, "grad_logit"));
    }
  }
}

void diffq_bits_map(QuantCheck& check, const Value& rows) {
  for (const Value& one : rows.items()) {
    const std::string name = concat("logit ", need(one, "logit").as_real());
    const kernels::DiffqWidths widths{.min_bits = need(one, "min_bits").as_real(),
                                      .max_bits = need(one, "max_bits").as_real()};
    const Var logit = leaf(need(one, "logit"));
    const Var bits = diffq_bits(logit, widths);
    check.equal(name + " bits", bits.data(), need(one, "bits"));
    check.equal(name + " unit", diffq_unit(logit, widths).data(), need(one, "unit"));
    check.equal(name + " eval_bits", diffq_whole_bits(logit.data(), widths), need(one, "eval_bits"));
    backward(bits);
    check.equal(name + " dbits", logit.grad(), need(one, "dbits_dlogit"));
  }
}

void diffq_init(QuantCheck& check, const Value& rows) {
  for (const Value& one : rows.items()) {
    const double bits = need(one, "init_bits").as_real();
    const kernels::DiffqWidths widths{.min_bits = need(one, "min_bits").as_real(),
                                      .max_bits = need(one, "max_bits").as_real()};
    check.equal(concat(bits, " bits"), diffq_logit(bits, widths), need(one, "logit").as_real());
  }
}

void diffq_model_size(QuantCheck& check, const Value& rows) {
  constexpr double kMegabyte = 8388608;  // bits of 2^20 bytes
  for (const Value& one : rows.items()) {
    const std::string name = case_name(one);
    const kernels::DiffqWidths widths{.min_bits = need(one, "min_bits").as_real(),
                                      .max_bits = need(one, "max_bits").as_real()};
    const int64_t numel = read_shape(need(one, "weight_shape")).numel(),
                  group = need(one, "group_size").as_int();
    const double other =
        need(one, "bias_len").as_real() * (need(one, "bias_storage").as_string() == "float16" ? 16 : 32);
    const Var logits = leaf(need(one, "logits"));
    const Var size = diffq_size(diffq_bits(logits, widths), numel, group, widths.min_bits);
    check.equal(name + " model_size_MB", (size.data().item() + other) / kMegabyte,
                need(one, "model_size_MB").as_real());
    const Var whole_bits(diffq_whole_bits(logits.data(), widths).to(DType::F64));
    check.equal(name + " true_size_bits",
                diffq_size(whole_bits, numel, group, widths.min_bits).data().item() + other,
                need(one, "true_size_bits").as_real());
    backward(scale(size, 1 / kMegabyte));
    check.equal(name + " grad", logits.grad(), need(one, "grad_logit_of_model_size"), 1e-17);
  }
}

// Computed in float32 by the authors.
void diffq_state(QuantCheck& check, const Value& one) {
  constexpr double kFloat32 = 2e-6;
  const Tensor w = leaf(need(one, "w")).data(), logits = leaf(need(one, "logits")).data();
  const Tensor bits = diffq_whole_bits(logits, {});
  check.equal("bits_cont", diffq_bits(Var(logits), {}).data(), need(one, "bits_cont"), kFloat32);
  check.equal("bits_eval", bits, need(one, "bits_eval"));
  const GroupRange range = group_range(w, 0, "golden");
  check.equal("scales", {range.lo.item(), range.hi.item()}, flat(need(one, "scales")), kFloat32);
  const Tensor y = minmax_quantize(w, range, bits, w.numel() / bits.numel());
  check.equal("dequant", y, need(one, "dequant"), kFloat32);
}

// AdamW's decay alone moves the logit: no gradient arrives.
void codeq_decay(QuantCheck& check, const Value& cases) {
  for (const Value& one : cases.items()) {
    const double decay = need(one, "weight_decay").as_real();
    const kernels::AdamUpdate update{
        .lr = need(one, "lr").as_real(), .weight_decay = decay, .decoupled = true};
    std::vector<Tensor> theta{tensor_of({need(one, "theta0").as_real()})}, m{tensor_of({0})},
        v{tensor_of({0})};
    const std::vector<Tensor> gradient{tensor_of({0})};
    int64_t step = 0;
    for (const Value& row : need(one, "trajectory").items()) {
      while (step < need(row, "step").as_int()) {
        const std::vector<int64_t> steps{++step};
        kernels::adam_update(theta, gradient, m, v, steps, update);
      }
      const std::string name = concat("decay ", decay, " step ", step);
      check.equal(name + " theta", theta[0], need(row, "theta"));
      check.equal(name + " width", quant::codeq_width(1.0, theta[0].item()),
                  need(row, "d_over_absmax").as_real());
    }
  }
}

void codeq(QuantCheck& check, const Value& cases) {
  for (const Value& one : cases.items()) {
    const std::string name = case_name(one);
    const Value& closed = need(one, "closed_form");
    const bool mixed = need(one, "learnable_bit").as_bool();
    kernels::CodeqShape shape;
    shape.max_bits = need(one, "max_bits").as_real();
    if (!mixed) shape.fixed_bits = need(one, "fixed_bit").as_real();
    const Var w = leaf(need(one, "w")), dead_zone = leaf(need(one, "logit_dz"));
    const Var bits = mixed ? leaf(need(one, "logit_bit")) : Var();
    const Tensor grid = codeq_grid(w.data(), dead_zone.data(), mixed ? bits.data() : Tensor(), shape);
    const char* const kFields[] = {"absmax_q99", "d", "Q", "step", "shift", "B"};
    for (int i = 0; i < 6; ++i)
      check.equal(concat(name, " ", kFields[i]), grid.ptr<double>()[i], need(closed, kFields[i]).as_real());
    const Var y = codeq_quantize(w, dead_zone, bits, shape);
    check.equal(name + " w_hat", y.data(), need(closed, "w_hat"));
    backward(y, leaf(need(one, "upstream")).data());
    check.equal(name + " grad_w", w.grad(), need(closed, "grad_w"));
    check.equal(name + " grad_logit_dz", dead_zone.grad(), need(closed, "grad_logit_dz"));
    if (mixed) check.equal(name + " grad_logit_bit", bits.grad(), need(closed, "grad_logit_bit"));
  }
}

void dq(QuantCheck& check, const Value& cases, bool released) {
  int number = 0;
  for (const Value& one : cases.items()) {
    const std::string name = concat("case ", number++);
    const char* const range_name = released ? "xmax" : "qmax";
    const kernels::DqShape shape{.power_of_two = released,
                                 .is_signed = !released || need(one, "sign").as_bool()};
    const Var x = leaf(need(one, "x")), step = leaf(need(one, "d")), range = leaf(need(one, range_name));
    const Var y = dq_quantize(x, step, range, shape);
    check.equal(name + " q", y.data(), need(one, "q"));
    check.equal(name + " bits", dq_bits(step.data(), range.data(), shape), need(one, "bits").as_real());
    backward(y, leaf(need(one, "upstream")).data());
    check.equal(name + " grad_x", x.grad(), need(one, "grad_x"));
    check.equal(name + " grad_d", step.grad(), need(one, "grad_d"));
    check.equal(name + " grad_range", range.grad(), need(one, released ? "grad_xmax" : "grad_qmax"));
  }
}

void dq_released(QuantCheck& check, const Value& cases) {
  dq(check, cases, true);
}
void dq_u3(QuantCheck& check, const Value& cases) {
  dq(check, cases, false);
}

void pact(QuantCheck& check, const Value& cases) {
  int number = 0;
  for (const Value& one : cases.items()) {
    const std::string name = concat("case ", number++);
    for (const bool residual : {false, true}) {
      const Var x = leaf(need(one, "x")), alpha = leaf(need(one, "alpha"));
      const Var y = pact_quantize(x, alpha, whole(one, "k"), residual);
      check.equal(name + " y", y.data(), need(one, "y"));
      backward(y, leaf(need(one, "upstream")).data());
      check.equal(name + " grad_x", x.grad(), need(one, "grad_x"));
      check.equal(name + " grad_alpha", alpha.grad(),
                  need(one, residual ? "grad_alpha_with_residual" : "grad_alpha_paper"));
    }
  }
}

}  // namespace

std::vector<QuantRow> learned_rows() {
  return {
      {"02_lsq", "cases", lsq},
      {"02_lsq", "init", lsq_init},
      {"03_lsqplus", "cases", lsq_plus},
      {"04_diffq_noise_train", "cases", diffq_noise_cases},
      {"05_diffq_bits_and_size", "bits_map", diffq_bits_map},
      {"05_diffq_bits_and_size", "init_logits", diffq_init},
      {"05_diffq_bits_and_size", "model_size", diffq_model_size},
      {"06_diffq_state_packing_edges", "quantized_state", diffq_state},
      {"07_codeq", "cases", codeq},
      {"08_codeq_decay", "cases", codeq_decay},
      {"12_dq", "code_semantics", dq_released},
      {"12_dq", "paper_U3_form", dq_u3},
      {"13_activation_pact_dorefa_nipq", "pact", pact},
  };
}

}  // namespace lathe::golden
