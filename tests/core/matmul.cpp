// Matrix products against the definition.

#include "autograd/ops/matmul.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "core/cpu/gemm.h"
#include "core/cpu/isa.h"
#include "core/error.h"
#include "core/parallel.h"
#include "core/philox.h"
#include "tests/support/kernels.h"

namespace lathe {
namespace {

using cpu::GemmShape;
using tests::Threads;

Tensor noise(int64_t n, uint32_t stream) {
  const Philox philox{42, stream, 0};
  std::vector<float> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) values[i] = 2 * philox.uniform(i) - 1;
  return Tensor::from(values, {n});
}

// Operands of one product; rows of A, B and C lie `slack` elements further apart than they need to.
struct Problem {
  GemmShape shape;
  Tensor a, b, c;

  Problem(GemmShape s, int64_t slack) : shape(s) {
    shape.lda = (s.transpose_a ? s.m : s.k) + slack;
    shape.ldb = (s.transpose_b ? s.k : s.n) + slack;
    shape.ldc = s.n + slack;
    a = noise((s.transpose_a ? s.k : s.m) * shape.lda, 1);
    b = noise((s.transpose_b ? s.n : s.k) * shape.ldb, 2);
    c = noise(s.m * shape.ldc, 3);
  }
  double left(int64_t i, int64_t k) const {
    return a.ptr<float>()[shape.transpose_a ? k * shape.lda + i : i * shape.lda + k];
  }
  double right(int64_t k, int64_t j) const {
    return b.ptr<float>()[shape.transpose_b ? j * shape.ldb + k : k * shape.ldb + j];
  }
};

// Largest error against the definition, relative to the length of the sums; infinite if a gap between rows of
// C was written.
double worst_error(const Problem& p, const Tensor& found, const float* bias) {
  const GemmShape& s = p.shape;
  const float *c = found.ptr<float>(), *before = p.c.ptr<float>();
  double worst = 0;
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t j = 0; j < s.n; ++j) {
      double sum = s.accumulate ? before[i * s.ldc + j] : bias != nullptr ? bias[j] : 0;
      for (int64_t k = 0; k < s.k; ++k) sum += p.left(i, k) * p.right(k, j);
      worst = std::max(worst, std::abs(sum - c[i * s.ldc + j]) / std::sqrt(static_cast<double>(s.k + 1)));
    }
    for (int64_t j = s.n; j < s.ldc; ++j) {
      if (c[i * s.ldc + j] != before[i * s.ldc + j]) return INFINITY;
    }
  }
  return worst;
}

Tensor product(const Problem& p, const float* bias = nullptr) {
  Tensor c = p.c.clone();
  cpu::gemm(c.mut<float>(), p.a.ptr<float>(), p.b.ptr<float>(), p.shape, {.bias = bias});
  return c;
}

}  // namespace

TEST_SUITE_BEGIN("matmul");

TEST_CASE("gemm: the definition, every transposition, sizes around every block") {
  const int64_t sizes[] = {0, 1, 2, 7, 16, 33, 65};
  for (const cpu::Isa isa : tests::isas()) {
    const cpu::ForceIsa forced(isa);
    for (const int64_t m : sizes) {
      for (const int64_t n : sizes) {
        for (const int64_t k : sizes) {
          for (int bits = 0; bits < 8; ++bits) {
            const Problem p({.m = m,
                             .n = n,
                             .k = k,
                             .transpose_a = (bits & 1) != 0,
                             .transpose_b = (bits & 2) != 0,
                             .accumulate = (bits & 4) != 0},
                            k % 3);
            const double error = worst_error(p, product(p), nullptr);
            if (error > 1e-6) FAIL("m ", m, " n ", n, " k ", k, " flags ", bits, ": error ", error);
          }
        }
      }
    }
  }
}

TEST_CASE("gemm: large products, long sums, bias; the same bits for any number of threads") {
  const GemmShape shapes[] = {
      {.m = 260, .n = 300, .k = 70},
      {.m = 131, .n = 17, .k = 513, .transpose_b = true},
      {.m = 144, .n = 16, .k = 9001, .transpose_a = true},
      {.m = 3, .n = 5, .k = 20011},
      {.m = 1, .n = 1000, .k = 130, .transpose_b = true},
      {.m = 1000, .n = 1, .k = 130},
  };
  for (const GemmShape& shape : shapes) {
    CAPTURE(shape.m);
    CAPTURE(shape.k);
    const Problem p(shape, 0);
    const Tensor bias = noise(shape.n, 4);
    Tensor plain, biased;
    {
      const Threads one(1);
      plain = product(p);
      biased = product(p, bias.ptr<float>());
    }
    CHECK(worst_error(p, plain, nullptr) < 1e-6);
    CHECK(worst_error(p, biased, bias.ptr<float>()) < 1e-6);
    for (const int n : {2, 3}) {
      const Threads several(n);
      CHECK(same_bits(product(p), plain));
      CHECK(same_bits(product(p, bias.ptr<float>()), biased));
    }
  }
}

TEST_CASE("gemm: accumulates over a split sum") {
  const Problem p({.m = 9, .n = 11, .k = 8200, .transpose_a = true, .accumulate = true}, 2);
  CHECK(worst_error(p, product(p), nullptr) < 1e-6);
}

TEST_CASE("matmul: says what does not fit") {
  const Var a(Tensor::zeros({2, 3})), b(Tensor::zeros({4, 5})), batch(Tensor::zeros({2, 3, 4}));
  CHECK_THROWS_WITH_AS(matmul(a, b), doctest::Contains("matmul: inner extents differ, 3 and 4"), ShapeError);
  CHECK_THROWS_AS(matmul(Var(Tensor::zeros({3})), a), ShapeError);
  CHECK_THROWS_AS(matmul(batch, Var(Tensor::zeros({3, 4, 5}))), ShapeError);
  CHECK_THROWS_AS(matmul(a, Var(Tensor::zeros({3, 2}, DType::F64))), DTypeError);
  CHECK_THROWS_AS(linear(a, b), ShapeError);
  CHECK_THROWS_AS(linear(a, Var(Tensor::zeros({4, 3})), Var(Tensor::zeros({3}))), ShapeError);
}

TEST_CASE("matmul and linear: multiply-accumulates of a call") {
  const OpLog log;
  matmul(Var(Tensor::zeros({2, 1, 3, 4})), Var(Tensor::zeros({5, 4, 6})));
  linear(Var(Tensor::zeros({2, 7, 4})), Var(Tensor::zeros({6, 4})));
  REQUIRE(log.calls().size() == 2);
  CHECK(log.calls()[0].info.macs == 2 * 5 * 3 * 4 * 6);
  CHECK(log.calls()[1].info.macs == 2 * 7 * 4 * 6);
}

TEST_CASE("matmul: shapes on the meta device") {
  const Var a(Tensor::empty({8, 1, 3, 4}, DType::F32, Device::meta()));
  const Var b(Tensor::empty({2, 6, 4}, DType::F32, Device::meta()));
  CHECK(matmul(a, b, {.transpose_b = true}).shape() == Shape({8, 2, 3, 6}));
}

TEST_SUITE_END();

}  // namespace lathe
