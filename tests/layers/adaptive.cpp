// Adaptive input and softmax beyond their reference vectors.

#include "layers/adaptive.h"

#include <cmath>

#include <doctest/doctest.h>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "core/batch.h"
#include "layers/positions.h"

using namespace lathe;

TEST_SUITE_BEGIN("layers");

namespace {

struct Language : Module {
  explicit Language(AdaptiveSoftmaxOptions options, int64_t padding = -1)
      : Module(RootOptions{.seed = 3, .dtype = DType::F64}),
        bands({4, 9}, 20),
        input(*this, "in", bands, 8, 2, padding),
        softmax(*this, "out", bands, input, options) {}
  Bands bands;
  AdaptiveInput input;
  AdaptiveSoftmax softmax;
};

AdaptiveSoftmaxOptions plain() {
  return {.width = 8, .factor = 2, .tied = true, .tied_projections = true, .padding = -1};
}

const std::vector<int64_t> kTokens = {0, 3, 4, 8, 9, 19, 10, 1};

}  // namespace

TEST_CASE("tokens are split into bands, and put back where they were") {
  const Bands bands({4, 9}, 20);
  CHECK(bands.count() == 3);
  CHECK(bands.size(2) == 11);
  CHECK(bands.of(3) == 0);
  CHECK(bands.of(4) == 1);
  CHECK(bands.of(19) == 2);
  CHECK_THROWS_AS(bands.of(20), ShapeError);
  CHECK_THROWS_AS(bands.of(-1), ShapeError);
  CHECK_THROWS_AS(Bands({}, 20), ConfigError);
  CHECK_THROWS_AS(Bands({9, 4}, 20), ConfigError);
  CHECK_THROWS_AS(Bands({20}, 20), ConfigError);
  const BandSplit split = split_bands(bands, Tensor::from(kTokens, {8}), Device::cpu());
  CHECK(split.count(1) == 2);
  CHECK(split.ids[2].span<int64_t>()[1] == 10);
  const std::vector<int64_t> rows(split.rows.span<int64_t>().begin(), split.rows.span<int64_t>().end());
  CHECK(rows == std::vector<int64_t>{0, 1, 3, 4, 5, 6, 7, 2});
  const BandSplit tails =
      split_tail_bands(bands, Tensor::from(std::vector<int64_t>{0, 19, kUnscored, 4}, {4}), Device::cpu());
  const std::vector<int64_t> tail_rows(tails.rows.span<int64_t>().begin(), tails.rows.span<int64_t>().end());
  CHECK(tail_rows == std::vector<int64_t>{0, 2, 0, 1});
  const BandSplit unknown =
      split_bands(bands, Tensor::empty({100}, DType::I64, Device::meta()), Device::meta());
  CHECK(unknown.count(0) + unknown.count(1) + unknown.count(2) >= 100);
  CHECK(unknown.count(0) > unknown.count(2));
}

TEST_CASE("probabilities of all words add up to one, and the loss is their mean, in every form") {
  AdaptiveSoftmaxOptions untied = plain(), half = plain();
  untied.tied = untied.tied_projections = false;
  half.tied_projections = false;
  for (const AdaptiveSoftmaxOptions& options : {plain(), untied, half}) {
    Language language(options);
    language.run().mode = Mode::Eval;
    const Var features = language.input(Tensor::from(kTokens, {2, 4}));
    const Tensor targets = Tensor::from(std::vector<int64_t>{19, 0, 9, 5, 10, kUnscored, 4, 3}, {2, 4});
    const Var all = language.softmax.log_probabilities(features);
    CHECK(all.shape() == Shape({2, 4, 20}));
    const Var own = language.softmax.target_log_probabilities(features, targets);
    const double* p = all.data().ptr<double>();
    double sum = 0;
    for (int64_t i = 0; i < 8; ++i) {
      double total = 0;
      for (int64_t w = 0; w < 20; ++w) total += std::exp(p[i * 20 + w]);
      CHECK(total == doctest::Approx(1).epsilon(1e-12));
      const int64_t target = targets.ptr<int64_t>()[i];
      const double expected = target == kUnscored ? 0 : p[i * 20 + target];
      CHECK(own.data().ptr<double>()[i] == doctest::Approx(expected).epsilon(1e-12));
      sum += expected;
    }
    CHECK(language.softmax.loss(features, targets).data().item() == doctest::Approx(-sum / 7).epsilon(1e-12));
  }
  AdaptiveSoftmaxOptions wrong = plain();
  wrong.tied = false;
  CHECK_THROWS_AS(Language{wrong}, ConfigError);
}

TEST_CASE("a batch without any scored target costs nothing") {
  Language language(plain());
  const Var features = language.input(Tensor::from(kTokens, {2, 4}));
  const Var loss = language.softmax.loss(features, Tensor::full({2, 4}, double{kUnscored}, DType::I64));
  CHECK(loss.data().item() == 0);
}

TEST_CASE("dropout in a tail depends on the position, not on its neighbours") {
  AdaptiveSoftmaxOptions options = plain();
  options.dropout = 0.5;
  Language language(options);
  language.run().mode = Mode::Train;
  const auto cost = [&](int64_t first, int64_t second) {
    ++language.run().forward;
    const NoGrad no_grad;
    const Var features(Tensor::full({1, 2, 8}, 0.5, DType::F64));
    const Tensor targets = Tensor::from(std::vector<int64_t>{first, second}, {1, 2});
    return language.softmax.target_log_probabilities(features, targets).data().ptr<double>()[1];
  };
  CHECK(cost(0, 19) == cost(18, 19));
  CHECK(cost(5, 19) == cost(18, 19));
}

TEST_CASE("micro-batches draw the tails' masks that one big batch would") {
  AdaptiveSoftmaxOptions options = plain();
  options.dropout = 0.5;
  Language language(options);
  language.run().mode = Mode::Train;
  const NoGrad no_grad;
  const auto costs = [&](int64_t begin, int64_t end) {
    ++language.run().forward;
    language.run().first_sample = static_cast<uint64_t>(begin);
    const Var features(Tensor::full({end - begin, 3, 8}, 0.5, DType::F64));
    const Tensor targets = Tensor::full({end - begin, 3}, 19, DType::I64);
    return language.softmax.target_log_probabilities(features, targets).data();
  };
  const Tensor whole = costs(0, 4);
  CHECK_FALSE(same_bits(whole.rows(0, 1), whole.rows(1, 2)));
  CHECK(same_bits(costs(0, 1), whole.rows(0, 1)));
  CHECK(same_bits(costs(1, 4), whole.rows(1, 4)));
}

TEST_CASE("positions skip padding") {
  SinusoidalPositions positions(8, 1);
  const Tensor table = sinusoidal_positions(10, 8, 1);
  const Tensor plain = positions(Tensor::from(std::vector<int64_t>{5, 6, 7, 8}, {2, 2}));
  CHECK(plain.shape() == Shape({2, 8}));
  CHECK(same_bits(plain, table.rows(2, 4)));
  const Tensor padded = positions(Tensor::from(std::vector<int64_t>{5, 1, 7, 1, 8, 9}, {2, 3}));
  CHECK(same_bits(padded.rows(0, 1).view({3, 8}).rows(0, 1), table.rows(2, 3)));
  CHECK(same_bits(padded.rows(0, 1).view({3, 8}).rows(1, 2), table.rows(1, 2)));
  CHECK(same_bits(padded.rows(0, 1).view({3, 8}).rows(2, 3), table.rows(3, 4)));
  CHECK_THROWS_AS(sinusoidal_positions(4, 2), ConfigError);
}

TEST_SUITE_END();
