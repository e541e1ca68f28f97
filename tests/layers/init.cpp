#include "layers/init.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "layers/conv.h"
#include "layers/embedding.h"
#include "layers/linear.h"

using namespace lathe;

TEST_SUITE_BEGIN("layers");

namespace {

struct Statistics {
  double mean = 0, deviation = 0, low = 0, high = 0;
};

Statistics statistics(const Tensor& tensor) {
  const auto x = tensor.span<float>();
  Statistics s{.low = x[0], .high = x[0]};
  for (const float value : x) {
    s.mean += value;
    s.low = std::min<double>(s.low, value);
    s.high = std::max<double>(s.high, value);
  }
  s.mean /= static_cast<double>(x.size());
  for (const float value : x) s.deviation += (value - s.mean) * (value - s.mean);
  s.deviation = std::sqrt(s.deviation / static_cast<double>(x.size()));
  return s;
}

Statistics filled(const Initializer& init, int64_t count = 200000) {
  Tensor tensor = Tensor::empty({count});
  init(tensor, Philox{7, stream_id("init/test"), 0});
  return statistics(tensor);
}

}  // namespace

TEST_CASE("uniform initialisers fill their interval evenly") {
  const Statistics s = filled(init::fan_in_uniform(25));
  CHECK(s.low >= -0.2);
  CHECK(s.high <= 0.2);
  CHECK(s.low == doctest::Approx(-0.2).epsilon(1e-3));
  CHECK(s.high == doctest::Approx(0.2).epsilon(1e-3));
  CHECK(std::abs(s.mean) < 1.5e-3);  // 4 standard errors are 1e-3
  CHECK(s.deviation == doctest::Approx(0.2 / std::sqrt(3.0)).epsilon(0.01));
  CHECK(filled(init::xavier_uniform(10, 14, 2)).high == doctest::Approx(2 * 0.5).epsilon(1e-3));
}

TEST_CASE("normal initialisers have their deviation") {
  const Statistics s = filled(init::kaiming_normal(50));
  CHECK(std::abs(s.mean) < 2.5e-3);
  CHECK(s.deviation == doctest::Approx(0.2).epsilon(0.01));
  CHECK(s.high > 0.75);  // some value beyond 3.75 deviations
}

TEST_CASE("truncated normals stay inside [-2, 2]") {
  const Statistics s = filled(init::truncated_normal(1));
  CHECK(s.low >= -2);
  CHECK(s.high <= 2);
  CHECK(s.high > 1.99);
  CHECK(s.deviation == doctest::Approx(0.8796).epsilon(0.01));  // of N(0, 1) cut at two deviations
}

TEST_CASE("defaults of the layers") {
  Module root;
  Conv2d conv(root, "conv", 64, 128, {.kernel = 3, .groups = 2, .bias = true});
  const double bound = 1 / std::sqrt(32.0 * 9);
  const Statistics w = statistics(conv.weight().raw().data());
  CHECK(w.high == doctest::Approx(bound).epsilon(1e-2));
  CHECK(w.deviation == doctest::Approx(bound / std::sqrt(3.0)).epsilon(0.02));
  CHECK(std::abs(statistics(conv.bias()->raw().data()).low) <= bound);
  CHECK(statistics(conv.bias()->raw().data()).deviation > 0.4 * bound);

  Linear linear(root, "linear", 400, 300);
  CHECK(statistics(linear.weight().raw().data()).high == doctest::Approx(0.05).epsilon(1e-2));

  Embedding words(root, "words", 500, 64, {.padding_idx = 3});
  const Tensor table = words.weight().raw().data();
  CHECK(statistics(table).deviation == doctest::Approx(1).epsilon(0.02));
  CHECK(statistics(table.rows(3, 4)).deviation == 0);
  CHECK(statistics(table.rows(2, 3)).deviation > 0.5);
}

TEST_SUITE_END();
