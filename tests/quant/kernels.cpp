// Quantizers' loops: the same bits on every instruction set and as the formulas of quant/math/, and the exact
// selection behind CoDeQ's amplitude.

#include "tests/support/kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <doctest/doctest.h>

#include "core/cpu/isa.h"
#include "quant/cpu/isa_quant.h"
#include "quant/cpu/select.h"
#include "quant/math/absmax.h"
#include "quant/math/lsq.h"
#include "quant/math/minmax.h"
#include "quant/math/noise.h"
#include "quant/ops/ops.h"
#include "tests/laws/evaluate.h"

namespace lathe {
namespace {

/// Several pieces, and tails of every vector.
const Shape kLarge{{40011}};

OpCase diffq_case(std::string name, int64_t group, bool gaussian, bool of_noise = false) {
  const int64_t count = group > 0 ? (kLarge.numel() + group - 1) / group : 1;
  const kernels::DiffqWidths widths{.noise_parameter = of_noise};
  return {.name = std::move(name),
          .inputs = {{kLarge}, {{count}, -3, 3}},
          .apply = [=](const std::vector<Var>& in) {
            const kernels::NoiseSource noise{.philox = {.seed = 3, .stream = 5, .step = 7},
                                             .gaussian = gaussian};
            return diffq_noise(in[0], diffq_unit(in[1], widths), noise, group);
          }};
}

OpCase codeq_case(std::string name, double fixed_bits) {
  OpCase one{.name = std::move(name),
             .inputs = {{kLarge}, {{1}, 0.5, 0.6}},
             .apply = [=](const std::vector<Var>& in) {
               return codeq_quantize(in[0], in[1], fixed_bits > 0 ? Var() : in[2],
                                     {.fixed_bits = fixed_bits});
             }};
  if (fixed_bits == 0) one.inputs.push_back({{1}, 0.3, 0.5});
  return one;
}

std::vector<OpCase> large_cases() {
  std::vector<OpCase> cases;
  for (const int64_t group : {0, 9, 17000}) {
    const std::string name = " group " + std::to_string(group);
    const int64_t count = group > 0 ? (kLarge.numel() + group - 1) / group : 1;
    const kernels::LsqGrid grid = lsq_grid(4, true, kLarge.numel(), group);
    cases.push_back({.name = "minmax" + name, .inputs = {{kLarge}}, .apply = [=](const std::vector<Var>& in) {
                       return minmax_quantize(in[0], 4, group);
                     }});
    cases.push_back({.name = "absmax" + name, .inputs = {{kLarge}}, .apply = [=](const std::vector<Var>& in) {
                       return absmax_quantize(in[0], 4, group, true);
                     }});
    cases.push_back(
        {.name = "lsq_plus" + name,
         .inputs = {{kLarge}, {{count}, 0.08, 0.1}, {{count}, -0.3, 0.3}},
         .apply = [=](const std::vector<Var>& in) { return lsq_plus_quantize(in[0], in[1], in[2], grid); }});
  }
  for (const int64_t group : {0, 1, 8, 9, 16, 100, 17000})
    cases.push_back(diffq_case("diffq group " + std::to_string(group), group, true));
  cases.push_back(diffq_case("diffq uniform", 8, false));
  cases.push_back(diffq_case("diffq of noise", 16, true, true));
  cases.push_back(codeq_case("codeq 4", 4));
  cases.push_back(codeq_case("codeq mixed", 0));
  cases.push_back({.name = "diffq bits",
                   .inputs = {{{1001}, -6, 6}},
                   .apply = [](const std::vector<Var>& in) { return diffq_bits(in[0], {}); }});
  return cases;
}

/// On every instruction set: what sorting says about places `place` and place + 1.
template <class T>
void check_selection(const char* name, const std::vector<T>& x) {
  CAPTURE(name);
  CAPTURE(x.size());
  const auto n = static_cast<int64_t>(x.size());
  std::vector<T> sorted = x;
  for (T& value : sorted) value = std::abs(value);
  std::sort(sorted.begin(), sorted.end());
  for (const double share : {0.0, 0.01, 0.5, 0.9, 0.99, 1.0}) {
    const auto place = static_cast<int64_t>(share * static_cast<double>(n - 1));
    CAPTURE(place);
    const auto at = static_cast<size_t>(place);
    const std::pair<T, T> expected{sorted[at], sorted[std::min(at + 1, sorted.size() - 1)]};
    for (const cpu::Isa isa : tests::isas()) {
      CAPTURE(isa);
      const cpu::ForceIsa forced(isa);
      CHECK((quant::nth_magnitudes(x.data(), n, place) == expected));
    }
  }
}

template <class T>
void check_selections() {
  const Philox philox{.seed = 11, .stream = stream_id("selection")};
  const auto make = [&](int64_t n, auto value) {
    std::vector<T> x;
    for (int64_t i = 0; i < n; ++i) x.push_back(static_cast<T>(value(static_cast<uint64_t>(i))));
    return x;
  };
  const auto signed_uniform = [&](uint64_t i) { return 2.0 * philox.uniform(i) - 1; };
  for (const int64_t n : {1, 2, 3, 63, 64, 65, 1000, 20000, 300001}) {
    check_selection("uniform", make(n, signed_uniform));
    check_selection("constant", make(n, [](uint64_t) { return -0.3; }));
    check_selection("zeros", make(n, [](uint64_t i) { return i % 2 == 0 ? 0.0 : -0.0; }));
    check_selection("two values", make(n, [](uint64_t i) { return i % 50 == 0 ? 2.5 : -1.5; }));
    check_selection("one far away", make(n, [&](uint64_t i) { return i == 0 ? 1e30 : signed_uniform(i); }));
  }
  const double denormal = static_cast<double>(std::numeric_limits<T>::denorm_min());
  check_selection("denormals", make(3000, [&](uint64_t i) {
                    return denormal * static_cast<double>(philox.below(i, 400));
                  }));
  check_selection("a few levels", make(70000, [&](uint64_t i) {
                    return 0.125 * static_cast<int>(philox.below(i, 7)) - 0.4;
                  }));
  check_selection("all magnitudes",
                  make(50000, [&](uint64_t i) { return std::exp2(240 * signed_uniform(i) / 2); }));
  check_selection("the largest",
                  std::vector<T>{std::numeric_limits<T>::max(), T(1), -std::numeric_limits<T>::max()});
}

}  // namespace

TEST_SUITE_BEGIN("quant ops");

TEST_CASE("values and gradients have the same bits on every instruction set") {
  for (const OpCase& one : large_cases()) {
    for (const DType dtype : {DType::F32, DType::F64}) {
      laws::Evaluation portable;
      for (const cpu::Isa isa : tests::isas()) {
        const cpu::ForceIsa forced(isa);
        const laws::Evaluation now = laws::evaluate(one, dtype);
        if (!portable.y.defined()) portable = now;
        CHECK_MESSAGE(laws::difference(portable, now) == "", one.name, " on ", to_string(isa));
      }
    }
  }
}

TEST_CASE("loops compute the formulas of quant/math/, bit for bit") {
  constexpr int64_t kN = 1003;
  const Philox philox{.seed = 2, .stream = stream_id("formulas")};
  std::vector<float> x(kN), y(kN);
  for (size_t i = 0; i < kN; ++i) x[i] = 3 * philox.uniform(i) - 1.4f;
  x[5] = 0.0f;
  x[6] = -0.0f;
  const quant::CodeqGrid<float> grid = quant::codeq_grid(0.9f, 0.31f, 4.0f, 1e-8f, 1e-4f);
  const auto check = [&](const char* name, auto formula) {
    CAPTURE(name);
    for (size_t i = 0; i < kN; ++i) {
      const float expected = formula(x[i]);
      CHECK(std::memcmp(&y[i], &expected, sizeof expected) == 0);
    }
  };
  for (const cpu::Isa isa : tests::isas()) {
    const cpu::ForceIsa forced(isa);
    cpu::minmax_f32(y.data(), x.data(), kN, 15.0f, 3.1f, -1.45f);
    check("minmax", [](float w) { return quant::minmax_value(w, 15.0f, 3.1f, -1.45f); });
    cpu::absmax_f32(y.data(), x.data(), kN, 0.23f, 7.0f);
    check("absmax", [](float w) { return quant::absmax_value(w, 0.23f, 7.0f); });
    cpu::lsq_f32(y.data(), x.data(), kN, {0.11f, 0.02f, -8.0f, 7.0f});
    check("lsq", [](float w) { return quant::lsq_value(w, 0.11f, 0.02f, -8.0f, 7.0f); });
    cpu::codeq_f32(y.data(), x.data(), kN, grid);
    check("codeq", [&](float w) { return quant::codeq_value(w, grid); });
  }
}

TEST_CASE("DiffQ's noise: cosine and sine of any turn") {
  double worst = 0;
  for (int i = -(1 << 23); i < 1 << 24; i += 511) {
    const float turns = static_cast<float>(i) * 0x1p-24f;
    float cosine = 0, sine = 0;
    quant::cos_sin_turns(turns, cosine, sine);
    const double angle = 2 * 3.14159265358979323846 * static_cast<double>(turns);
    worst = std::max({worst, std::abs(cosine - std::cos(angle)), std::abs(sine - std::sin(angle))});
  }
  CHECK(worst < 2e-7);
}

TEST_CASE("DiffQ's noise: element i is the documented normal, close to Box and Muller in f64") {
  const Philox philox{.seed = 9, .stream = 4, .step = 1};
  constexpr uint64_t kFirstRow = 3;
  constexpr int kRows = 40;
  std::vector<float> noise(64 * kRows);
  for (const cpu::Isa isa : tests::isas()) {
    const cpu::ForceIsa forced(isa);
    cpu::noise_rows(noise.data(), philox, true, kFirstRow, kRows);
    double worst = 0;
    for (uint64_t at = 0; at < noise.size(); ++at) {
      const uint64_t i = 64 * kFirstRow + at, block = 16 * (i / 64) + i % 16, word = i % 64 / 16,
                     pair = word / 2 * 2;
      const Philox::Block words = philox.block(block);
      float cosine = 0, sine = 0;
      quant::diffq_normals(words.word[pair], words.word[pair + 1], cosine, sine);
      CHECK(noise[at] == (word % 2 == 0 ? cosine : sine));
      const double radius =
          0.5 * std::sqrt(-2 * std::log(1 - static_cast<double>(Philox::to_uniform(words.word[pair]))));
      const double angle =
          2 * 3.14159265358979323846 * static_cast<double>(Philox::to_uniform(words.word[pair + 1]));
      worst =
          std::max(worst, std::abs(noise[at] - radius * (word % 2 == 0 ? std::cos(angle) : std::sin(angle))));
    }
    CHECK(worst < 4e-7);
    cpu::noise_rows(noise.data(), philox, false, 0, 1);
    for (uint64_t i = 0; i < 64; ++i)
      CHECK(noise[i] == Philox::to_uniform(philox.block(i % 16).word[i / 16]) - 0.5f);
  }
}

TEST_CASE("DiffQ's noise has the moments of a normal, and neighbours do not correlate") {
  constexpr int kRows = 8000;
  std::vector<float> noise(64 * kRows);
  cpu::noise_rows(noise.data(), {.seed = 21, .stream = 2, .step = 3}, true, 0, kRows);
  const double n = static_cast<double>(noise.size());
  double moment[5] = {}, lag1 = 0, lag16 = 0;
  for (size_t i = 0; i + 16 < noise.size(); ++i) {
    const double x = 2 * static_cast<double>(noise[i]);
    double power = 1;
    for (double& sum : moment) {
      sum += power / n;
      power *= x;
    }
    lag1 += x * 2 * static_cast<double>(noise[i + 1]) / n;
    lag16 += x * 2 * static_cast<double>(noise[i + 16]) / n;
  }
  const double sigma = 1 / std::sqrt(n);
  CHECK(std::abs(moment[1]) < 4 * sigma);
  CHECK(std::abs(moment[2] - 1) < 4 * std::sqrt(2.0) * sigma);
  CHECK(std::abs(moment[3]) < 4 * std::sqrt(15.0) * sigma);
  CHECK(std::abs(moment[4] - 3) < 4 * std::sqrt(96.0) * sigma);
  CHECK(std::abs(lag1) < 4 * sigma);
  CHECK(std::abs(lag16) < 4 * sigma);
}

TEST_CASE("selection gives the elements that sorting gives") {
  check_selections<float>();
  check_selections<double>();
}

TEST_SUITE_END();

}  // namespace lathe
