// Kernels of quantizers on a device: the CPU's bits where a code must mean one weight, and the CPU's
// gradients however the work is cut up.

#include <cmath>

#include <doctest/doctest.h>

#include "quant/ops/ops.h"
#include "tests/cuda/device.h"
#include "tests/cuda/quant_values.h"

namespace lathe::tests {
namespace {

using Tensors = std::vector<Tensor>;

Tensors on_device(const Tensors& host) {
  Tensors all;
  for (const Tensor& one : host) all.push_back(one.to(cuda_device()));
  return all;
}

/// fn(inputs) on both devices.
template <class Fn>
bool equal_bits(const Tensors& host, const Fn& fn) {
  return same_bits(fn(host), fn(on_device(host)).to(Device::cpu()));
}

// One block's share, several blocks', tails of vectors; parts of warps, blocks and several blocks per group.
constexpr int64_t kSizes[] = {1, 3, 1003, 8193, 50003}, kGroups[] = {0, 1, 4, 7, 8, 16, 1500, 41003};

template <class Fn>
void for_each_grouping(const Fn& fn) {
  if (!cuda_ready()) return;
  const NoGrad no_grad;
  for (const int64_t n : kSizes) {
    for (const int64_t group : kGroups) {
      CAPTURE(n);
      CAPTURE(group);
      fn(n, group, group > 0 ? (n + group - 1) / group : 1);
    }
  }
}

}  // namespace

TEST_SUITE_BEGIN("gpu quantizers");

TEST_CASE("ranges, minmax, absmax and lsq have the CPU's bits") {
  for_each_grouping([](int64_t n, int64_t group, int64_t count) {
    const Tensor w = some(n, -0.7, 0.9);
    for (const int end : {0, 1}) {
      CHECK(equal_bits({w}, [&](const Tensors& in) {
        const GroupRange range = group_range(in[0], group, "test");
        return end == 0 ? range.lo : range.hi;
      }));
    }
    for (const int bits : {2, 4, 15}) {
      CHECK(equal_bits({w},
                       [&](const Tensors& in) { return minmax_quantize(Var(in[0]), bits, group).data(); }));
      CHECK(equal_bits({w},
                       [&](const Tensors& in) { return absmax_quantize(Var(in[0]), bits, group).data(); }));
      const kernels::LsqGrid grid = lsq_grid(bits, true, n, group);
      CHECK(equal_bits({w, some(count, 0.01, 0.3, "step"), some(count, -0.2, 0.2, "offset")},
                       [&](const Tensors& in) {
                         return lsq_plus_quantize(Var(in[0]), Var(in[1]), Var(in[2]), grid).data();
                       }));
    }
  });
}

TEST_CASE("diffq's widths and noise, and quant_noise's masks and levels have the CPU's bits") {
  for_each_grouping([](int64_t n, int64_t group, int64_t count) {
    const Tensor w = some(n, -0.7, 0.9);
    const Philox philox{.seed = 3, .stream = 4, .step = 5};
    for (const bool gaussian : {true, false}) {
      CHECK(equal_bits({w, some(count, -3, 3, "logits")}, [&](const Tensors& in) {
        const kernels::NoiseSource noise{.philox = philox, .gaussian = gaussian};
        const Var unit = diffq_unit(Var(in[1]), {.noise_parameter = !gaussian});
        return diffq_noise(Var(in[0]), unit, noise, group).data();
      }));
    }
    CHECK(equal_bits({w}, [&](const Tensors& in) {
      const GroupRange range = group_range(in[0], group, "test");
      Tensor scale = range.lo.empty_like(), zero = range.lo.empty_like();
      kernels::zero_point_grids(scale, zero, range.lo, range.hi, 15);
      const kernels::MaskSource mask{.philox = philox, .p = 0.3, .given = {}};
      return scalar_quant_noise(Var(in[0]), scale, zero, 4, mask, group).data();
    }));
    if (group == 0 || group > 16 || n > 2000) return;
    CHECK(equal_bits({some(n / 3 * 3 * group, -1, 1)}, [&](const Tensors& in) {
      const kernels::BlockShape blocks{.taps = n % 2 == 0 ? 3 : 1, .in = group, .width = 4};
      return block_quant_noise(Var(in[0]), {.philox = philox, .p = 0.3, .given = {}}, blocks).data();
    }));
  });
}

TEST_CASE("dead zones, dq, pact, half and zero points have the CPU's bits, given equal parameters") {
  if (!cuda_ready()) return;
  const NoGrad no_grad;
  const auto one = [](double value) { return Tensor::full({1}, value); };
  for (const int64_t n : kSizes) {
    CAPTURE(n);
    const Tensor w = some(n, -0.7, 0.9);
    CHECK(equal_bits({w}, [](const Tensors& in) {
      const GroupRange range = group_range(in[0], 0, "test");
      Tensor y = range.lo.empty_like();
      kernels::magnitude_quantile(y, in[0], range.lo, range.hi, 0.99);
      return y;
    }));
    for (const int bits : {2, 4, 8}) {
      const kernels::CodeqShape shape{.fixed_bits = static_cast<double>(bits), .step_floor = 1e-4};
      const Tensor grid = codeq_grid(w, one(0.6), Tensor(), shape);
      CHECK(equal_bits({w, grid}, [](const Tensors& in) {
        Tensor y = in[0].empty_like();
        kernels::codeq_quantize(y, in[0], in[1]);
        return y;
      }));
      CHECK(equal_bits({w, one(0.55)}, [&](const Tensors& in) {
        return pact_quantize(Var(in[0]), Var(in[1]), bits).data();
      }));
      CHECK(equal_bits({w, one(0.07), one(2.3)}, [&](const Tensors& in) {
        return zero_point_quantize(Var(in[0]), Var(in[1]), Var(in[2]), bits).data();
      }));
    }
    for (const bool power_of_two : {true, false}) {
      for (const double step : {0.01, 0.0221, 0.125}) {
        CHECK(equal_bits({w, one(step), one(0.6)}, [&](const Tensors& in) {
          return dq_quantize(Var(in[0]), Var(in[1]), Var(in[2]), {.power_of_two = power_of_two}).data();
        }));
      }
    }
    CHECK(equal_bits({some(n, -1e-3, 7e4)}, [](const Tensors& in) {
      Tensor y = in[0].empty_like();
      kernels::round_to_half(y, in[0]);
      return y;
    }));
  }
}

TEST_CASE("codeq's grid from logits: tanh is another device's, within 1e-6") {
  if (!cuda_ready()) return;
  const NoGrad no_grad;
  const Tensor w = some(50003, -0.7, 0.9);
  for (const double logit : {-2.0, 0.01, 0.7, 3.0}) {
    const Tensor dead_zone = Tensor::full({1}, logit), bits = Tensor::full({1}, 0.4);
    const Tensors device = on_device({w, dead_zone, bits});
    CHECK(relative(codeq_grid(device[0], device[1], device[2], {}), codeq_grid(w, dead_zone, bits, {})) <
          1e-6);
  }
}

TEST_CASE("selection and range search: any quantile of any group, any candidate, as on the CPU") {
  for_each_grouping([](int64_t n, int64_t group, int64_t count) {
    if (count > 40) return;  // the emulator takes its time with barriers
    const Tensor w = some(n, -0.7, 0.9);
    for (const bool symmetric : {true, false}) {
      CAPTURE(symmetric);
      for (const RangeSearch& search :
           {RangeSearch{RangeSearch::Kind::Percentile, 99}, RangeSearch{RangeSearch::Kind::Percentile, 51},
            RangeSearch{.kind = RangeSearch::Kind::LeastError}}) {
        if (search.kind == RangeSearch::Kind::LeastError && n > 5000 && (group != 0 || n > 10000)) continue;
        CHECK(equal_bits({w}, [&](const Tensors& in) {
          const GroupRange range = find_range(in[0], 3, symmetric, group, search, "test");
          Tensor both = range.lo.empty_like({2, range.lo.numel()});
          Tensor lo = both.rows(0, 1).view(range.lo.shape()), hi = both.rows(1, 2).view(range.lo.shape());
          lo.copy_from(range.lo);
          hi.copy_from(range.hi);
          return both;
        }));
      }
    }
  });
  if (!cuda_ready()) return;
  for (const int64_t n : {50003, 1003}) {
    for (const double q : {0.3, 1.0}) {
      for (const int kind : {0, 1, 2, 3}) {
        Tensor w = some(n, -0.7, 0.9);
        for (int64_t i = 0; i < n && kind > 0; ++i) {
          float& x = w.mut<float>()[i];
          x = kind == 1
                  ? 0.0f
                  : (kind == 2 ? std::copysign(0.25f, x) : std::ldexp(x, static_cast<int>(i % 200) - 140));
        }
        CAPTURE(q);
        CAPTURE(kind);
        CHECK(equal_bits({w.to(DType::F64), w}, [&](const Tensors& in) {
          Tensor y = Tensor::zeros({2}, DType::F64, in[0].device());
          for (const int64_t at : {0, 1}) {
            const Tensor& x = in[static_cast<size_t>(at)];
            const GroupRange range = group_range(x, 0, "test");
            Tensor found = range.lo.empty_like();
            kernels::magnitude_quantile(found, x, range.lo, range.hi, q);
            Tensor place = y.rows(at, at + 1);
            place.copy_from(found.to(DType::F64));
          }
          return y;
        }));
      }
    }
  }
}

TEST_CASE("gradients of large tensors equal the CPU's") {
  if (!cuda_ready()) return;
  std::vector<OpCase> cases;
  for (const int64_t n : {1003, 50003}) {
    for (const int64_t group : {0, 8, 7, 700, 1500, 41003}) {
      const int64_t count = group > 0 ? (n + group - 1) / group : 1;
      const std::string name = concat(" of ", n, " in groups of ", group);
      cases.push_back({.name = "absmax" + name, .inputs = {{{n}}}, .apply = [=](const std::vector<Var>& in) {
                         return absmax_quantize(in[0], 4, group, true);
                       }});
      for (const int64_t offsets : {int64_t{1}, count}) {
        cases.push_back({.name = "lsq_plus" + name,
                         .inputs = {{{n}}, {{count}, 0.08, 0.1}, {{offsets}, -0.3, 0.3}},
                         .apply = [=](const std::vector<Var>& in) {
                           return lsq_plus_quantize(in[0], in[1], in[2], lsq_grid(4, true, n, group));
                         }});
      }
      for (const int64_t units : {int64_t{1}, count}) {
        cases.push_back({.name = "diffq" + name,
                         .inputs = {{{n}}, {{units}, 0.01, 0.2}},
                         .apply = [=](const std::vector<Var>& in) {
                           return diffq_noise(in[0], in[1], {.philox = {.seed = 3}}, group);
                         }});
      }
      cases.push_back({.name = "diffq_size" + name,
                       .inputs = {{{count}, 3, 8}},
                       .apply = [=](const std::vector<Var>& in) { return diffq_size(in[0], n, group, 2); }});
    }
    cases.push_back(
        {.name = concat("codeq of ", n),
         .inputs = {{{n}}, {{1}, 0.5, 0.6}, {{1}, 0.3, 0.5}},
         .apply = [](const std::vector<Var>& in) { return codeq_quantize(in[0], in[1], in[2], {}); }});
    cases.push_back(
        {.name = concat("dq of ", n),
         .inputs = {{{n}}, {{1}, 0.1, 0.12}, {{1}, 0.7, 0.8}},
         .apply = [](const std::vector<Var>& in) { return dq_quantize(in[0], in[1], in[2], {}); }});
  }
  for (const OpCase& one : cases) {
    INFO(one.name);
    std::vector<Var> inputs;
    for (const Var& input : make_inputs(one, DType::F64))
      inputs.emplace_back(input.data().to(cuda_device()), input.requires_grad());
    const laws::Evaluation expected = laws::evaluate(one, DType::F64), found = laws::evaluate(one, inputs);
    CHECK(laws::nmse(found.y.to(Device::cpu()), expected.y) <= 1e-24);
    for (size_t i = 0; i < expected.gradients.size(); ++i)
      CHECK(laws::nmse(found.gradients[i].to(Device::cpu()), expected.gradients[i]) <= 1e-24);
  }
}

TEST_SUITE_END();

}  // namespace lathe::tests
