// Fused ops of transformers are their compositions.

#include <algorithm>
#include <cmath>
#include <functional>

#include <doctest/doctest.h>

#include "autograd/ops/activations.h"
#include "autograd/ops/attention.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "core/cpu/isa.h"
#include "tests/laws/evaluate.h"
#include "tests/support/kernels.h"

namespace lathe {
namespace {

using Inputs = std::vector<Var>;
using Function = std::function<Var(const Inputs&)>;

/// Outputs and gradients of both, for every instruction set and type.
void check_same(const std::vector<Shape>& shapes, const Function& fused, const Function& composed) {
  for (const cpu::Isa isa : tests::isas()) {
    const cpu::ForceIsa forced(isa);
    for (const DType dtype : {DType::F32, DType::F64}) {
      OpCase one{.name = "fused", .inputs = {}, .apply = fused}, other = one;
      for (const Shape& shape : shapes) one.inputs.push_back({shape, -2, 2});
      other = one;
      other.apply = composed;
      const laws::Evaluation a = laws::evaluate(one, dtype), b = laws::evaluate(other, dtype);
      const double tolerance = dtype == DType::F32 ? 1e-10 : 1e-24;
      CHECK(laws::nmse(a.y, b.y) < tolerance);
      for (size_t i = 0; i < a.gradients.size(); ++i) {
        CAPTURE(i);
        CHECK(laws::nmse(a.gradients[i], b.gradients[i]) < tolerance);
      }
    }
  }
}

}  // namespace

TEST_SUITE_BEGIN("core");

TEST_CASE("linear with gelu, bias and residual is its composition") {
  struct Size {
    int64_t rows, in, out;
  };
  // Few rows, several tiles, sums over rows that are split.
  for (const Size& s : {Size{5, 9, 7}, {301, 70, 41}, {2100, 40, 300}, {2100, 300, 40}}) {
    CAPTURE(s.rows);
    CAPTURE(s.out);
    const std::vector<Shape> shapes{{s.rows, s.in}, {s.out, s.in}, {s.out}, {s.rows, s.out}};
    const auto ones = [&](const Var& like) {
      return Var(Tensor::full({1, s.rows}, 1, like.dtype(), like.data().device()));
    };
    check_same(
        shapes, [](const Inputs& x) { return linear(x[0], x[1], x[2], {.gelu = true, .residual = x[3]}); },
        [&](const Inputs& x) {
          // The bias as a product with ones: its gradient comes from other code than linear's.
          const Var rows = matmul(ones(x[0]), reshape(x[2], {1, s.out}), {.transpose_a = true});
          const Var product = matmul(gelu(x[0]), x[1], {.transpose_b = true});
          return add(add(product, rows), x[3]);
        });
  }
}

TEST_CASE("packed_attention is attention of the thirds") {
  constexpr int64_t kHeads = 2, kWidth = 20;
  for (const int64_t tokens : {3, 40, 131}) {
    for (const bool causal : {false, true}) {
      CAPTURE(tokens);
      CAPTURE(causal);
      const AttentionOptions options{.causal = causal, .key_padding = {}};
      check_same(
          {{2, tokens, 3 * kHeads * kWidth}},
          [&](const Inputs& x) { return packed_attention(x[0], kHeads, options); },
          [&](const Inputs& x) {
            const auto third = [&](int64_t i) {
              return reshape(slice(x[0], 2, i * kHeads * kWidth, (i + 1) * kHeads * kWidth),
                             {2, tokens, kHeads, kWidth});
            };
            return reshape(attention(third(0), third(1), third(2), options), {2, tokens, kHeads * kWidth});
          });
    }
  }
}

TEST_CASE("a query whose scores are all NaN, or all overflow, is not one that sees no key") {
  constexpr int64_t kKeys = 19;  // one vector or more of them, and a part of one
  for (const cpu::Isa isa : tests::isas()) {
    const cpu::ForceIsa forced(isa);
    for (const DType dtype : {DType::F32, DType::F64}) {
      // Query 0 has scores NaN, query 1 -inf, query 2 zero.
      const double huge = dtype == DType::F32 ? 1e30 : 1e300;
      const Var q(Tensor::from(std::vector<double>{std::nan(""), -huge, 0}, {1, 3, 1, 1}).to(dtype));
      const Var k(Tensor::full({1, kKeys, 1, 1}, huge, dtype)), v(Tensor::full({1, kKeys, 1, 1}, 2, dtype));
      for (const int64_t seen : {kKeys, int64_t{1}, int64_t{0}}) {
        CAPTURE(to_string(isa));
        CAPTURE(to_string(dtype));
        CAPTURE(seen);
        std::vector<uint8_t> padding(kKeys, 1);
        std::fill_n(padding.begin(), seen, uint8_t{0});
        const AttentionOptions options{.key_padding = Tensor::from(padding, {1, kKeys})};
        const Tensor y = attention(q, k, v, options).data().to(DType::F64);
        for (int64_t t = 0; t < 2; ++t) CHECK(std::isnan(y.ptr<double>()[t]) == (seen > 0));
        CHECK(y.ptr<double>()[2] == doctest::Approx(seen > 0 ? 2 : 0));
        if (seen == 0) CHECK(y.ptr<double>()[1] == 0);
      }
      const Var one(Tensor::full({1, 1, 1, 1}, huge, dtype));
      const Tensor y = attention(q, one, one, {.causal = true, .key_padding = {}}).data().to(DType::F64);
      CHECK(y.ptr<double>()[0] == 0);  // query 2 alone sees the key
      CHECK(y.ptr<double>()[1] == 0);
    }
  }
}

TEST_SUITE_END();

}  // namespace lathe
