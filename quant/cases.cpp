#include "quant/cases.h"

#include <algorithm>

#include "quant/math/absmax.h"
#include "quant/math/codeq.h"
#include "quant/math/dq.h"
#include "quant/math/half.h"
#include "quant/math/lsq.h"
#include "quant/math/minmax.h"
#include "quant/math/pact.h"
#include "quant/math/quant_noise.h"
#include "quant/ops/ops.h"

namespace lathe {
namespace {

using quant::Frozen;
using Values = std::vector<Frozen>;

int64_t group_size(const Values& w, int64_t group) {
  return group > 0 ? group : static_cast<int64_t>(w.size());
}

/// The element of a group for which `key` is largest.
template <class Key>
Frozen largest(const Values& w, int64_t group, size_t i, const Key& key) {
  const auto size = static_cast<size_t>(group_size(w, group));
  const auto first = w.begin() + static_cast<ptrdiff_t>(i / size * size);
  const auto last = w.begin() + static_cast<ptrdiff_t>(std::min(w.size(), (i / size + 1) * size));
  return *std::max_element(first, last, [&](Frozen a, Frozen b) { return key(a) < key(b); });
}

const Frozen& of_group(const Values& parameter, int64_t group, size_t i) {
  return parameter[parameter.size() == 1 ? 0 : i / static_cast<size_t>(group)];
}

template <class Fn>
Values each(const Values& w, const Fn& fn) {
  Values y;
  for (size_t i = 0; i < w.size(); ++i) y.push_back(fn(w[i], i));
  return y;
}

QuantCase minmax_case(std::string name, const Shape& shape, int bits, int64_t group) {
  return {.op = {.name = "quant minmax " + name,
                 .inputs = {{shape}},
                 .apply = [=](const std::vector<Var>& in) { return minmax_quantize(in[0], bits, group); }},
          .surrogate = [=](const FrozenTensors& in) {
            return each(in[0], [&](Frozen w, size_t i) {
              const Frozen hi = quant::constant(largest(in[0], group, i, [](Frozen x) { return x.v; }));
              const Frozen lo = quant::constant(largest(in[0], group, i, [](Frozen x) { return -x.v; }));
              return quant::minmax_value(w, Frozen((1 << bits) - 1), hi - lo, lo);
            });
          }};
}

QuantCase absmax_case(std::string name, const Shape& shape, int bits, int64_t group, bool through_scale) {
  return {.op = {.name = "quant absmax " + name,
                 .inputs = {{shape}},
                 .apply =
                     [=](const std::vector<Var>& in) {
                       return absmax_quantize(in[0], bits, group, through_scale);
                     }},
          .surrogate = [=](const FrozenTensors& in) {
            const Frozen most((1 << (bits - 1)) - 1);
            return each(in[0], [&](Frozen w, size_t i) {
              const Frozen peak = largest(in[0], group, i, [](Frozen x) { return std::abs(x.v); });
              const Frozen scale = quant::magnitude(peak) / most;
              return quant::absmax_value(w, through_scale ? scale : quant::constant(scale), most);
            });
          }};
}

/// Inputs beyond both bounds; offset where `plus`.
QuantCase lsq_case(std::string name, const Shape& shape, int bits, bool is_signed, int64_t group, bool plus) {
  const int64_t count = group > 0 ? (shape.numel() + group - 1) / group : 1;
  const kernels::LsqGrid grid = lsq_grid(bits, is_signed, shape.numel(), group);
  OpCase op{.name = (plus ? "quant lsq_plus " : "quant lsq ") + name,
            .inputs = {{shape}, {{count}, 0.6 / grid.hi, 0.9 / grid.hi}},
            .apply = [=](const std::vector<Var>& in) {
              return plus ? lsq_plus_quantize(in[0], in[1], in[2], grid) : lsq_quantize(in[0], in[1], grid);
            }};
  if (plus) op.inputs.push_back({{count}, -0.3, 0.3});
  return {.op = std::move(op),
          .surrogate =
              [=](const FrozenTensors& in) {
                return each(in[0], [&](Frozen x, size_t i) {
                  const Frozen offset = plus ? of_group(in[2], group, i) : Frozen(0);
                  return quant::lsq_value(x, of_group(in[1], group, i), offset, Frozen(grid.lo),
                                          Frozen(grid.hi));
                });
              },
          .factors = {1, grid.gradient_scale, grid.gradient_scale}};
}

/// Linear in the step.
QuantCase lsq_decode_case(std::string name, int64_t group) {
  const Shape shape{3, 5};
  const int64_t count = group > 0 ? (shape.numel() + group - 1) / group : 1;
  const kernels::LsqGrid grid = lsq_grid(4, true, shape.numel(), group);
  const auto code = [](size_t i) { return static_cast<double>(i % 7) - 3; };
  return {.op = {.name = "quant lsq decode " + name,
                 .inputs = {{{count}, 0.1, 0.2}},
                 .apply =
                     [=](const std::vector<Var>& in) {
                       Tensor codes = Tensor::empty(shape, in[0].dtype());
                       dispatch_floating(in[0].dtype(), "lsq decode", [&]<class T>() {
                         for (size_t i = 0; i < static_cast<size_t>(shape.numel()); ++i)
                           codes.mut<T>()[i] = static_cast<T>(code(i));
                       });
                       return lsq_decode(codes.to(in[0].data().device()), in[0], grid);
                     }},
          .surrogate =
              [=](const FrozenTensors& in) {
                Values y;
                for (size_t i = 0; i < static_cast<size_t>(shape.numel()); ++i)
                  y.push_back(quant::decode_affine(Frozen(code(i)), of_group(in[0], group, i)));
                return y;
              },
          .factors = {grid.gradient_scale}};
}

/// Smooth for frozen noise: no surrogate.
QuantCase diffq_case(std::string name, const Shape& shape, int64_t group, const kernels::DiffqWidths& widths,
                     bool gaussian) {
  const int64_t count = group > 0 ? (shape.numel() + group - 1) / group : 1;
  return {.op = {.name = "quant diffq " + name,
                 .inputs = {{shape}, {{count}, -2, 2}},
                 .apply = [=](const std::vector<Var>& in) {
                   kernels::NoiseSource noise{
                       .philox = {.seed = 3, .stream = stream_id("diffq case"), .step = 1},
                       .gaussian = gaussian};
                   return diffq_noise(in[0], diffq_unit(in[1], widths), noise, group);
                 }}};
}

QuantCase diffq_bits_case(std::string name, const kernels::DiffqWidths& widths) {
  return {.op = {.name = "quant diffq bits " + name,
                 .inputs = {{{7}, -3, 3}},
                 .apply = [=](const std::vector<Var>& in) { return diffq_bits(in[0], widths); }}};
}

QuantCase codeq_case(std::string name, const Shape& shape, const kernels::CodeqShape& options,
                     double dead_zone) {
  const bool mixed = options.fixed_bits == 0;
  OpCase op{.name = "quant codeq " + name,
            .inputs = {{shape}, {{1}, dead_zone, dead_zone + 0.01}},
            .apply = [=](const std::vector<Var>& in) {
              return codeq_quantize(in[0], in[1], mixed ? in[2] : Var(), options);
            }};
  if (mixed) op.inputs.push_back({{1}, 0.3, 0.5});
  return {.op = std::move(op), .surrogate = [=](const FrozenTensors& in) {
            const Frozen amplitude = quant::constant(codeq_amplitude(in[0]));
            const Frozen bits =
                mixed ? quant::codeq_bits(in[2][0], Frozen(options.min_bits), Frozen(options.max_bits))
                      : Frozen(options.fixed_bits);
            const auto grid = quant::codeq_grid(amplitude, quant::codeq_width(amplitude, in[1][0]), bits,
                                                Frozen(options.eps), Frozen(options.step_floor) * amplitude);
            return each(in[0], [&](Frozen w, size_t) { return quant::codeq_value(w, grid); });
          }};
}

QuantCase dq_case(std::string name, const kernels::DqShape& shape) {
  return {
      .op = {.name = "quant dq " + name,
             .inputs = {{{3, 17}}, {{1}, 0.1, 0.12}, {{1}, 0.7, 0.8}},
             .apply = [=](const std::vector<Var>& in) { return dq_quantize(in[0], in[1], in[2], shape); }},
      .surrogate = [=](const FrozenTensors& in) {
        const Frozen range = in[2][0];
        if (!shape.power_of_two)
          return each(in[0], [&](Frozen x, size_t) { return quant::dq_u3_value(x, in[1][0], range); });
        const Frozen step = quant::dq_power_step(in[1][0]), lo = shape.is_signed ? -range : Frozen(0);
        return each(in[0], [&](Frozen x, size_t) {
          return quant::decode_affine(quant::dq_code(x, step, lo, range), step);
        });
      }};
}

QuantCase dq_unit_case() {
  return {.op = {.name = "quant dq unit",
                 .inputs = {{{1}, 0.1, 0.12}},
                 .apply = [](const std::vector<Var>& in) { return dq_unit(in[0], {}); }},
          .surrogate = [](const FrozenTensors& in) { return Values{quant::dq_power_step(in[0][0])}; }};
}

QuantCase dq_whole_range_case() {
  return {.op = {.name = "quant dq whole range",
                 .inputs = {{{1}, 0.1, 0.12, false}, {{1}, 0.7, 0.8}},
                 .apply = [](const std::vector<Var>& in) { return dq_whole_range(in[0], in[1]); }},
          .surrogate = [](const FrozenTensors& in) {
            const Frozen range = in[1][0], whole = quant::dq_whole_range(in[0][0], range);
            return Values{range + quant::constant(whole - range)};
          }};
}

QuantCase dq_size_case(std::string name, const kernels::DqShape& shape, double range) {
  return {.op = {.name = "quant dq_size " + name,
                 .inputs = {{{1}, 0.1, 0.12}, {{1}, range, range + 0.01}},
                 .apply = [=](const std::vector<Var>& in) { return dq_size(in[0], in[1], 7, shape); }},
          .surrogate = [=](const FrozenTensors& in) {
            const Frozen step = shape.power_of_two ? quant::dq_power_step(in[0][0]) : in[0][0];
            const Frozen signs = shape.is_signed ? 1 : 0, least = shape.is_signed ? 2 : 1;
            return Values{Frozen(7) * quant::dq_width(quant::dq_most(step, in[1][0]), signs, least)};
          }};
}

QuantCase half_case() {
  return {.op = {.name = "quant half",
                 .inputs = {{{3, 17}}},
                 .apply = [](const std::vector<Var>& in) { return half_quantize(in[0]); }},
          .surrogate = [](const FrozenTensors& in) {
            return each(in[0], [](Frozen x, size_t) {
              return x + quant::constant(Frozen(quant::half_round_ste(x.v)) - x);
            });
          }};
}

/// Straight-through, beyond the searched range too.
QuantCase search_case(std::string name, int bits, bool symmetric, int64_t group, const RangeSearch& search) {
  const auto apply = [=](const Var& w) {
    return symmetric ? absmax_quantize(w, bits, group, false, search)
                     : minmax_quantize(w, bits, group, search);
  };
  return {.op = {.name = "quant range search " + name,
                 .inputs = {{{5, 3, 3, 2}}},
                 .apply = [=](const std::vector<Var>& in) { return apply(in[0]); }},
          .surrogate = [=](const FrozenTensors& in) {
            Tensor w = Tensor::empty({static_cast<int64_t>(in[0].size())}, DType::F64);
            for (size_t i = 0; i < in[0].size(); ++i) w.mut<double>()[i] = in[0][i].v;
            const Tensor value = apply(Var(w)).data();
            return each(in[0], [&](Frozen x, size_t i) {
              return x + quant::constant(Frozen(value.ptr<double>()[i]) - x);
            });
          }};
}

QuantCase pact_case(std::string name, int bits) {
  return {
      .op = {.name = "quant pact " + name,
             .inputs = {{{3, 17}}, {{1}, 0.5, 0.6}},
             .apply = [=](const std::vector<Var>& in) { return pact_quantize(in[0], in[1], bits, true); }},
      .surrogate = [=](const FrozenTensors& in) {
        return each(
            in[0], [&](Frozen x, size_t) { return quant::pact_value(x, in[1][0], Frozen((1 << bits) - 1)); });
      }};
}

constexpr Philox kMask{.seed = 3, .stream = stream_id("mask case"), .step = 1};

/// Straight-through within the range, for kept and for quantized elements alike.
QuantCase scalar_noise_case(std::string name, int bits) {
  constexpr double kScale = 0.1, kZero = 5, kShare = 0.5;
  return {.op = {.name = "quant scalar_quant_noise " + name,
                 .inputs = {{{3, 17}}},
                 .apply =
                     [=](const std::vector<Var>& in) {
                       const Device device = in[0].data().device();
                       const Tensor scale = Tensor::full({1}, kScale, in[0].dtype(), device);
                       const Tensor zero = Tensor::full({1}, kZero, in[0].dtype(), device);
                       return scalar_quant_noise(in[0], scale, zero, bits,
                                                 {.philox = kMask, .p = kShare, .given = {}});
                     }},
          .surrogate = [=](const FrozenTensors& in) {
            const Frozen levels((1 << bits) - 1), lo(-kScale * kZero), hi = Frozen(kScale) * (levels - kZero);
            return each(in[0], [&](Frozen w, size_t i) {
              const Frozen kept = quant::clip(w, lo, hi);
              const bool chosen = static_cast<double>(kMask.uniform(i)) < kShare;
              const Frozen value =
                  chosen ? quant::zero_point_value(w, Frozen(kScale), Frozen(kZero), levels) : kept;
              return kept + quant::constant(value - kept);
            });
          }};
}

/// Linear in the weight.
QuantCase block_noise_case(std::string name, const Shape& shape, const kernels::BlockShape& blocks) {
  return {.op = {.name = "quant block_quant_noise " + name,
                 .inputs = {{shape}},
                 .apply = [=](const std::vector<Var>& in) {
                   return block_quant_noise(in[0], {.philox = kMask, .p = 0.25, .given = {}}, blocks);
                 }}};
}

QuantCase zero_point_case(std::string name, int bits) {
  return {
      .op = {.name = "quant zero_point " + name,
             .inputs = {{{3, 17}}, {{1}, 0.15, 0.2}, {{1}, 2.1, 2.4}},
             .apply =
                 [=](const std::vector<Var>& in) { return zero_point_quantize(in[0], in[1], in[2], bits); }},
      .surrogate = [=](const FrozenTensors& in) {
        const Frozen levels((1 << bits) - 1), zero = quant::whole_zero(in[2][0], levels);
        return each(in[0], [&](Frozen x, size_t) { return quant::shifted_value(x, in[1][0], zero, levels); });
      }};
}

/// Smooth in their own arguments.
std::vector<QuantCase> penalty_cases() {
  const auto grid = lsq_grid(3, true, 12, 0, false);
  return {
      {.op = {.name = "quant oscillation_penalty",
              .inputs = {{{3, 4}}, {{3, 4}}},
              .apply = [](const std::vector<Var>& in) { return oscillation_penalty(in[0], in[1]); }}},
      {.op = {.name = "quant dampening_penalty kernel mean",
              .inputs = {{{3, 4}}, {{3, 4}, -1, 1, false}, {{1}, 0.15, 0.2}},
              .apply =
                  [grid](const std::vector<Var>& in) {
                    return dampening_penalty(in[0], in[1], in[2], grid, Dampening::KernelMean);
                  }}},
      {.op = {.name = "quant dampening_penalty sum, groups of 5",
              .inputs = {{{3, 4}}, {{3, 4}, -1, 1, false}, {{3}, 0.15, 0.2}},
              .apply =
                  [groups = lsq_grid(3, true, 12, 5, false)](const std::vector<Var>& in) {
                    return dampening_penalty(in[0], in[1], in[2], groups, Dampening::Sum);
                  }}},
      {.op = {.name = "quant diffq_size the last group shorter",
              .inputs = {{{4}, 3, 8}},
              .apply = [](const std::vector<Var>& in) { return diffq_size(in[0], 29, 8, 2); }}},
  };
}

}  // namespace

Frozen codeq_amplitude(const std::vector<Frozen>& w) {
  std::vector<double> sorted;
  for (const Frozen& x : w) sorted.push_back(std::abs(x.v));
  std::sort(sorted.begin(), sorted.end());
  const double place = 0.99 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const double second = sorted[std::min(below + 1, sorted.size() - 1)];
  return sorted[below] + (place - static_cast<double>(below)) * (second - sorted[below]);
}

const std::vector<QuantCase>& quant_cases() {
  static const Shape conv{5, 3, 3, 2};
  static const std::vector<QuantCase> all = [] {
    std::vector<QuantCase> cases = {
        minmax_case("1 bit", {3, 5}, 1, 0),
        minmax_case("4 bits per channel", conv, 4, 18),
        minmax_case("8 bits, groups of 7", conv, 8, 7),
        absmax_case("2 bits", {3, 5}, 2, 0, false),
        absmax_case("4 bits per channel", conv, 4, 18, false),
        absmax_case("3 bits through the scale", conv, 3, 0, true),
        absmax_case("4 bits, groups of 7 through their scales", conv, 4, 7, true),
        lsq_case("2 bits", conv, 2, true, 0, false),
        lsq_case("3 bits unsigned", {4, 9}, 3, false, 0, false),
        lsq_case("4 bits per channel", conv, 4, true, 18, false),
        lsq_case("8 bits, groups of 7", conv, 8, true, 7, false),
        lsq_case("unsigned 2 bits", {4, 9}, 2, false, 0, true),
        lsq_case("4 bits per channel", conv, 4, true, 18, true),
        lsq_decode_case("one group", 0),
        lsq_decode_case("the last group shorter", 4),
        diffq_case("one group", {3, 5}, 0, {}, true),
        diffq_case("groups of 8, the last of 2", conv, 8, {}, true),
        diffq_case("uniform noise", conv, 6, {}, false),
        diffq_case("1 to 10 bits", conv, 6, {.min_bits = 1, .max_bits = 10}, true),
        diffq_case("noise parameter", conv, 6, {.noise_parameter = true}, true),
        diffq_bits_case("2 to 15", {}),
        diffq_bits_case("noise parameter", {.noise_parameter = true}),
        codeq_case("4 bits", conv, {.fixed_bits = 4}, 0.7),
        codeq_case("2 bits", {4, 9}, {.fixed_bits = 2}, 0.4),
        codeq_case("narrow zero bin", conv, {.fixed_bits = 3}, 3),
        codeq_case("mixed", conv, {}, 0.7),
        codeq_case("negative logit", conv, {}, -0.7),
        codeq_case("step at its floor", conv, {.fixed_bits = 4, .step_floor = 0.2}, 0.3),
        dq_case("signed", {}),
        dq_case("unsigned", {.is_signed = false}),
        dq_case("U3", {.power_of_two = false}),
        dq_unit_case(),
        dq_whole_range_case(),
        dq_size_case("power of two", {}, 0.7),
        dq_size_case("U3", {.power_of_two = false}, 0.9),
        dq_size_case("unsigned", {.is_signed = false}, 0.7),
        half_case(),
        search_case("percentile", 4, false, 0, {RangeSearch::Kind::Percentile, 90}),
        search_case("symmetric percentile of groups", 4, true, 7, {RangeSearch::Kind::Percentile, 80}),
        search_case("least error", 2, false, 18, {.kind = RangeSearch::Kind::LeastError}),
        search_case("symmetric least error", 2, true, 0, {.kind = RangeSearch::Kind::LeastError}),
        pact_case("2 bits", 2),
        pact_case("4 bits", 4),
        scalar_noise_case("4 bits", 4),
        block_noise_case("rows", {4, 10}, {.taps = 1, .in = 10, .width = 4}),
        block_noise_case("kernels", conv, {.taps = 9, .in = 2, .width = 8}),
        zero_point_case("3 bits", 3),
    };
    for (QuantCase& one : penalty_cases()) cases.push_back(std::move(one));
    for (QuantCase& one : chain_cases()) cases.push_back(std::move(one));
    return cases;
  }();
  return all;
}

}  // namespace lathe
