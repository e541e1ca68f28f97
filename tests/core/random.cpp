#include "core/kernels/random.h"

#include <array>

#include <doctest/doctest.h>

#include "autograd/ops/random.h"
#include "core/cpu/isa_random.h"
#include "tests/support/kernels.h"

using namespace lathe;
using namespace lathe::tests;

TEST_SUITE_BEGIN("ops");

namespace {

constexpr Philox kStream{.seed = 0x123456789abcdef, .stream = stream_id("site"), .step = 17};

double mean_of(const Tensor& x, double power) {
  double total = 0;
  for (const float v : x.span<float>()) total += std::pow(static_cast<double>(v), power);
  return total / static_cast<double>(x.numel());
}

}  // namespace

TEST_CASE("philox_words: Philox's words on every instruction set") {
  for (const cpu::Isa isa : isas()) {
    const cpu::ForceIsa force(isa);
    for (const uint64_t first : {uint64_t{0}, uint64_t{5}, (uint64_t{1} << 32) - 3}) {
      std::array<uint32_t, 4 * 37> words;
      cpu::philox_words(words.data(), kStream, first, 37);
      for (size_t i = 0; i < words.size(); ++i) REQUIRE(words[i] == kStream.word(4 * first + i));
    }
  }
}

TEST_CASE("fill_uniform: element i is uniform(i), in range, for any number of threads") {
  Tensor y = Tensor::empty({100003});
  kernels::fill_uniform(y, -2, 3, kStream);
  for (const int64_t i : {0, 1, 511, 512, 32768, 100002}) {
    CHECK(y.ptr<float>()[i] == static_cast<float>(-2 + 5.0 * kStream.uniform(static_cast<uint64_t>(i))));
  }
  CHECK(mean_of(y, 1) == doctest::Approx(0.5).epsilon(0.02));
  CHECK(mean_of(y, 2) == doctest::Approx(7.0 / 3).epsilon(0.02));
  CHECK(thread_invariant([&] {
    kernels::fill_uniform(y, -2, 3, kStream);
    return y.clone();
  }));
}

TEST_CASE("fill_normal: moments, and a prefix does not depend on the length") {
  Tensor y = Tensor::empty({200001});
  kernels::fill_normal(y, 1.5, kStream);
  CHECK(std::abs(mean_of(y, 1)) < 0.015);
  CHECK(mean_of(y, 2) == doctest::Approx(2.25).epsilon(0.01));
  CHECK(std::abs(mean_of(y, 3)) < 0.12);
  CHECK(mean_of(y, 4) == doctest::Approx(3 * 2.25 * 2.25).epsilon(0.03));
  Tensor prefix = Tensor::empty({1001});
  kernels::fill_normal(prefix, 1.5, kStream);
  CHECK(same_bits(prefix, y.rows(0, 1001)));
  CHECK(thread_invariant([&] {
    kernels::fill_normal(y, 1.5, kStream);
    return y.clone();
  }));
}

TEST_CASE("dropout: the mask is the documented one, of the right frequency") {
  const double p = 0.3;
  const int64_t n = 100000;
  const Tensor y = dropout(Var(Tensor::full({n}, 1)), p, kStream, 7).data();
  int64_t kept = 0, wrong = 0;
  for (int64_t i = 0; i < n; ++i) {
    const bool keep = kStream.uniform(static_cast<uint64_t>(7 + i)) >= p;
    kept += keep;
    wrong += y.ptr<float>()[i] != (keep ? static_cast<float>(1 / (1 - p)) : 0.0f);
  }
  CHECK(wrong == 0);
  // Five standard deviations of a binomial count.
  CHECK(std::abs(static_cast<double>(kept) - (1 - p) * n) < 5 * std::sqrt(p * (1 - p) * n));
}

TEST_CASE("dropout: backward draws forward's mask") {
  const Var x(Tensor::full({41, 997}, 1), true);
  const Var y = dropout(x, 0.4, kStream, 13);
  backward(y, Tensor::full(x.shape(), 1));
  CHECK(same_bits(x.grad(), y.data()));
}

TEST_CASE("dropout: two halves of a batch with their offsets equal the whole") {
  const Tensor x = random_tensor({6, 1003}, 1);
  const Tensor whole = dropout(Var(x), 0.5, kStream, 100).data();
  const Tensor second = dropout(Var(x.rows(2, 6)), 0.5, kStream, 100 + 2 * 1003).data();
  CHECK(same_bits(second, whole.rows(2, 6)));
  CHECK(thread_invariant([&] { return dropout(Var(x), 0.5, kStream).data(); }));
  CHECK(isa_spread([&] { return dropout(Var(x), 0.5, kStream).data(); }) == 0);
}

TEST_CASE("drop_path: a sample stays whole or goes whole") {
  const Var x(Tensor::full({1000, 3}, 1), true);
  const Var y = drop_path(x, 0.2, kStream, 5);
  int64_t kept = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    const bool keep = kStream.uniform(static_cast<uint64_t>(5 + i)) >= 0.2;
    kept += keep;
    for (int64_t j = 0; j < 3; ++j) REQUIRE(y.data().ptr<float>()[3 * i + j] == (keep ? 1.25f : 0.0f));
  }
  CHECK(std::abs(static_cast<double>(kept) - 800) < 64);
  backward(y, Tensor::full(x.shape(), 1));
  CHECK(same_bits(x.grad(), y.data()));
}

TEST_CASE("dropout: p = 0 is the identity, p outside [0, 1) an error") {
  const Var x(Tensor::full({3}, 1));
  CHECK(dropout(x, 0, kStream).same(x));
  CHECK(drop_path(x, 0, kStream).same(x));
  CHECK_THROWS_AS(dropout(x, 1, kStream), ConfigError);
  CHECK_THROWS_AS(drop_path(x, -0.1, kStream), ConfigError);
}

TEST_SUITE_END();
