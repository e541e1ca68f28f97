// Whole small networks (methods.md section 15.7): the gradient of the loss for every weight and every
// quantizer's parameter, against the network whose quantizers are frozen.

#include <algorithm>

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/reduce.h"
#include "quant/cases.h"
#include "quant/math/absmax.h"
#include "quant/math/codeq.h"
#include "quant/math/diffq.h"
#include "quant/math/dq.h"
#include "quant/math/lsq.h"
#include "quant/math/minmax.h"
#include "quant/ops/ops.h"

namespace lathe {
namespace {

using quant::Frozen;
using Values = std::vector<Frozen>;

constexpr size_t kSamples = 3, kWidth = 5;
constexpr double kGoal = 0.3;

template <class Fn>
Values each(const Values& x, const Fn& fn) {
  Values y;
  for (const Frozen& value : x) y.push_back(fn(value));
  return y;
}

/// x w^T, x of kSamples rows, w of rows of kWidth.
Values linear(const Values& x, const Values& w) {
  Values y;
  for (size_t n = 0; n < kSamples; ++n) {
    for (size_t o = 0; o < w.size() / kWidth; ++o) {
      Frozen sum = 0;
      for (size_t i = 0; i < kWidth; ++i) sum += x[n * kWidth + i] * w[o * kWidth + i];
      y.push_back(sum);
    }
  }
  return y;
}

Values relu(const Values& x) {
  return each(x, [](Frozen value) { return quant::clip(value, Frozen(0), Frozen(1e30)); });
}

Values tanh(const Values& x) {
  return each(x, [](Frozen value) { return quant::hyperbolic_tangent(value); });
}

Values loss(const Values& y) {
  Frozen sum = 0;
  for (const Frozen& value : y) sum += (value - kGoal) * (value - kGoal);
  return {sum / static_cast<double>(y.size())};
}

Var loss(const Var& y) {
  return mean(square(add_scalar(y, -kGoal)));
}

/// The element whose key is largest, with its gradient.
template <class Key>
Frozen largest(const Values& w, const Key& key) {
  return *std::max_element(w.begin(), w.end(), [&](Frozen a, Frozen b) { return key(a) < key(b); });
}

/// LSQ weights and activations, CoDeQ, DQ: the roundings of activations depend on the weights before them.
QuantCase learned_chain() {
  const kernels::LsqGrid weights = lsq_grid(3, true, kWidth * kWidth),
                         activations = lsq_grid(4, false, kSamples * kWidth);
  const kernels::CodeqShape codeq{.fixed_bits = 4};
  return {
      .op = {.name = "quant chain lsq, lsq activations, codeq, dq",
             .inputs = {{{kSamples, kWidth}},
                        {{kWidth, kWidth}},
                        {{1}, 0.2, 0.25},
                        {{1}, 0.06, 0.07},
                        {{kWidth, kWidth}},
                        {{1}, 0.7, 0.71},
                        {{2, kWidth}},
                        {{1}, 0.1, 0.12},
                        {{1}, 0.7, 0.8}},
             .apply =
                 [=](const std::vector<Var>& in) {
                   const Var first = lathe::relu(lathe::linear(in[0], lsq_quantize(in[1], in[2], weights)));
                   const Var rounded = lsq_quantize(first, in[3], activations);
                   const Var second =
                       lathe::tanh(lathe::linear(rounded, codeq_quantize(in[4], in[5], Var(), codeq)));
                   return loss(lathe::linear(second, dq_quantize(in[6], in[7], in[8], {})));
                 }},
      .surrogate =
          [=](const FrozenTensors& in) {
            const auto lsq = [](const Values& x, const Frozen& step, const kernels::LsqGrid& grid) {
              return each(x, [&](Frozen value) {
                return quant::lsq_value(value, step, Frozen(0), Frozen(grid.lo), Frozen(grid.hi));
              });
            };
            const Values first = relu(linear(in[0], lsq(in[1], in[2][0], weights)));
            const Frozen amplitude = quant::constant(codeq_amplitude(in[4]));
            const auto grid = quant::codeq_grid(amplitude, quant::codeq_width(amplitude, in[5][0]),
                                                Frozen(codeq.fixed_bits), Frozen(codeq.eps), Frozen(0));
            const Values second =
                tanh(linear(lsq(first, in[3][0], activations),
                            each(in[4], [&](Frozen w) { return quant::codeq_value(w, grid); })));
            const Frozen step = quant::dq_power_step(in[7][0]), range = in[8][0];
            return loss(linear(second, each(in[6], [&](Frozen w) {
                                 return quant::decode_affine(quant::dq_code(w, step, -range, range), step);
                               })));
          },
      .factors = {1, 1, weights.gradient_scale, activations.gradient_scale}};
}

/// Ranges of the weights themselves, and noise.
QuantCase ranged_chain() {
  constexpr int kBits = 3;
  constexpr int64_t kGroup = 4;
  const kernels::DiffqWidths widths{};
  const auto noise = [](size_t i) { return 0.37 * static_cast<double>(i % 5) - 0.8; };
  return {
      .op = {.name = "quant chain minmax, absmax, diffq",
             .inputs =
                 {{{kSamples, kWidth}}, {{kWidth, kWidth}}, {{kWidth, kWidth}}, {{2, kWidth}}, {{3}, -3, -1}},
             .apply =
                 [=](const std::vector<Var>& in) {
                   const Var first = lathe::relu(lathe::linear(in[0], minmax_quantize(in[1], kBits)));
                   const Var second =
                       lathe::tanh(lathe::linear(first, absmax_quantize(in[2], kBits, 0, true)));
                   std::vector<double> drawn;
                   for (size_t i = 0; i < 2 * kWidth; ++i) drawn.push_back(noise(i));
                   const Tensor given =
                       Tensor::from(drawn, in[3].shape()).to(in[3].dtype()).to(in[3].data().device());
                   const Var noisy =
                       diffq_noise(in[3], diffq_unit(in[4], widths), {.philox = {}, .given = given}, kGroup);
                   return loss(lathe::linear(second, noisy));
                 }},
      .surrogate = [=](const FrozenTensors& in) {
        const auto most = [](const Values& w) { return largest(w, [](Frozen x) { return x.v; }); };
        const auto least = [](const Values& w) { return largest(w, [](Frozen x) { return -x.v; }); };
        const Frozen hi = quant::constant(most(in[1])), lo = quant::constant(least(in[1]));
        const Values first = relu(linear(
            in[0], each(in[1], [&](Frozen w) { return quant::minmax_value(w, Frozen(7), hi - lo, lo); })));
        const Frozen peak = largest(in[2], [](Frozen x) { return std::abs(x.v); });
        const Frozen scale = quant::magnitude(peak) / Frozen(3);
        const Values second = tanh(
            linear(first, each(in[2], [&](Frozen w) { return quant::absmax_value(w, scale, Frozen(3)); })));
        const Frozen range = most(in[3]) - least(in[3]);
        Values noisy;
        for (size_t i = 0; i < in[3].size(); ++i) {
          const auto width =
              quant::diffq_width_of_bits(in[4][i / kGroup], Frozen(widths.min_bits), Frozen(widths.max_bits));
          noisy.push_back(quant::diffq_noisy(in[3][i], range, width.unit, Frozen(noise(i))));
        }
        return loss(linear(second, noisy));
      }};
}

}  // namespace

std::vector<QuantCase> chain_cases() {
  return {learned_chain(), ranged_chain()};
}

}  // namespace lathe
