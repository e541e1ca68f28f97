// Golden files of quantizers without learned parameters: 01, 11, and what 09 and 10 quantize with.

#include "autograd/ops/reduce.h"
#include "quant/ops/ops.h"
#include "tests/golden/quant_check.h"

namespace lathe::golden {
namespace {

// EDGE cases are defects of the reference, or widths it leaves undefined.
void minmax(QuantCheck& check, const Value& cases) {
  for (const Value& one : cases.items()) {
    const std::string name = case_name(one);
    if (name.starts_with("EDGE")) continue;
    const Var w = leaf(need(one, "w"));
    if (const Value* per_group = one.find("bits_per_group")) {
      const std::vector<double> bits = flat(*per_group);
      const int64_t group = w.data().numel() / static_cast<int64_t>(bits.size());
      const Tensor y =
          minmax_quantize(w.data(), group_range(w.data(), 0, "golden"), tensor_of(bits).to(DType::U8), group);
      check.equal(name + " dequant", y, need(one, "dequant"));
      continue;
    }
    const Var y = minmax_quantize(w, static_cast<int>(need(one, "bits").as_int()));
    check.equal(name + " dequant", y.data(), need(one, "dequant"));
    backward(sum(y));
    check.equal(name + " grad_w", w.grad(), need(one, "grad_w_STE_for_unit_upstream"));
  }
}

void absmax(QuantCheck& check, const Value& cases) {
  for (const Value& one : cases.items()) {
    const std::string name = case_name(one);
    const int bits = static_cast<int>(need(one, "bits").as_int());
    for (const bool through_scale : {true, false}) {
      const Var w = leaf(need(one, "w"));
      const Var y = absmax_quantize(w, bits, 0, through_scale);
      check.equal(name + " w_hat", y.data(), need(one, "w_hat"));
      backward(y, leaf(need(one, "upstream")).data());
      const char* grad = through_scale ? "grad_w_author" : "grad_w_if_scale_detached";
      check.equal(concat(name, " ", grad), w.grad(), need(one, grad));
    }
  }
}

// LSQ's formula without its gradient scale.
void symmetric(QuantCheck& check, const Value& cases) {
  for (const Value& one : cases.items()) {
    const int bits = static_cast<int>(need(one, "n_bits").as_int());
    const std::string name = concat(bits, " bits ");
    const Var w = leaf(need(one, "w")), step = leaf(need(one, "scale"));
    const kernels::LsqGrid grid = lsq_grid(bits, true, w.data().numel(), 0, false);
    check.equal(name + "int_min", grid.lo, need(one, "int_min").as_real());
    check.equal(name + "int_max", grid.hi, need(one, "int_max").as_real());
    check.equal(name + "scale", need(one, "abs_max").as_real() / grid.hi, need(one, "scale").as_real());
    const Var y = lsq_quantize(w, step, grid);
    check.equal(name + "w_q", y.data(), need(one, "w_q"));
    backward(sum(y));
    check.equal(name + "grad_w", w.grad(), need(one, "grad_w"));
    check.equal(name + "grad_scale", step.grad(), need(one, "grad_scale"));
  }
}

void asymmetric(QuantCheck& check, const Value& one) {
  const int bits = static_cast<int>(need(one, "n_bits").as_int());
  const double least = need(one, "x_min").as_real(), most = need(one, "x_max").as_real();
  const double delta = (most - least) / ((1 << bits) - 1);
  check.equal("delta", delta, need(one, "delta").as_real());
  check.equal("zero_float", -least / delta, need(one, "zero_float").as_real());
  const Var x = leaf(need(one, "x")), step = leaf(need(one, "delta")), zero = leaf(need(one, "zero_float"));
  const Var y = zero_point_quantize(x, step, zero, bits);
  check.equal("x_q", y.data(), need(one, "x_q"));
  backward(sum(y));
  check.equal("grad_x", x.grad(), need(one, "grad_x"));
  check.equal("grad_delta", step.grad(), need(one, "grad_delta"));
  check.equal("grad_zero_float", zero.grad(), need(one, "grad_zero_float"));
}

void block_noise(QuantCheck& check, const Value& one) {
  const Var w = leaf(need(one, "W"));
  kernels::MaskSource mask{.philox = {},
                           .p = need(one, "p").as_real(),
                           .given = leaf(need(one, "block_mask_1_means_dropped")).data()};
  const kernels::BlockShape blocks{.taps = 1, .in = w.dim(1), .width = need(one, "block_size").as_int()};
  const Var y = block_quant_noise(w, mask, blocks);
  check.equal("W_tilde", y.data(), need(one, "W_tilde"));
  backward(y, leaf(need(one, "upstream")).data());
  check.equal("grad_W_correct", w.grad(), need(one, "grad_W_correct"));
}

void scalar_noise(QuantCheck& check, const Value& one) {
  const Var w = leaf(need(one, "w"));
  const Tensor scale_of = leaf(need(one, "scale")).data(), zero = leaf(need(one, "zero_point")).data();
  const int bits = static_cast<int>(need(one, "bits").as_int());
  std::vector<double> chosen = flat(need(one, "float_mask_1_means_left_float"));
  for (double& value : chosen) value = 1 - value;
  const Var y =
      scalar_quant_noise(w, scale_of, zero, bits, {.philox = {}, .p = 0.5, .given = tensor_of(chosen)});
  check.equal("w_out_spec", y.data(), need(one, "w_out_spec"));
  backward(sum(y));
  check.equal("grad_w", w.grad(), need(one, "grad_w"));
  const Var all = scalar_quant_noise(w, scale_of, zero, bits,
                                     {.philox = {}, .p = 1, .given = Tensor::full(w.shape(), 1, DType::F64)});
  check.equal("w_quantized", all.data(), need(one, "w_quantized"));
}

}  // namespace

std::vector<QuantRow> uniform_rows() {
  constexpr const char* kOscillation = "09_oscillation_regularizer_and_toy";
  constexpr const char* kMetrics = "10_oscillation_metrics_dampening";
  return {
      {"01_minmax_asymmetric", "cases", minmax},
      {kOscillation, "quantizer", absmax},
      {kMetrics, "symmetric_quantizer", symmetric},
      {kMetrics, "asymmetric_activation_quantizer", asymmetric},
      {"11_quantnoise_pq", "block_quant_noise", block_noise},
      {"11_quantnoise_pq", "scalar_quant_noise", scalar_noise},
  };
}

}  // namespace lathe::golden
