// Windows of a map, and attention in them.

#include "layers/relative_attention.h"

#include <cmath>

#include <doctest/doctest.h>

#include "autograd/ops/reduce.h"
#include "core/error.h"
#include "layers/parameter.h"

using namespace lathe;

TEST_SUITE_BEGIN("layers");

namespace {

Tensor counting(const Shape& shape) {
  Tensor tensor = Tensor::empty(shape);
  float* x = tensor.mut<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) x[i] = static_cast<float>(i + 1);
  return tensor;
}

Tensor waves(const Shape& shape) {
  Tensor tensor = counting(shape);
  float* x = tensor.mut<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) x[i] = std::sin(x[i] * 0.7F);
  return tensor;
}

double furthest(const Tensor& a, const Tensor& b) {
  double worst = 0;
  for (int64_t i = 0; i < a.numel(); ++i)
    worst = std::max(worst, static_cast<double>(std::abs(a.ptr<float>()[i] - b.ptr<float>()[i])));
  return worst;
}

class Identity : public ActivationParametrization {
 public:
  Var apply(const Var& x, const RunState&, uint32_t) override { return x; }
};

const RelativeAttentionOptions kTwoHeads = {.heads = 2, .window = 3};

}  // namespace

TEST_CASE("windows hold their part of the map, zeros beyond its edge, and join to the map") {
  const Var map(counting({2, 4, 3, 1}));
  const Var windows = partition_windows(map, 2);
  REQUIRE(windows.shape() == Shape{8, 4, 1});
  const std::vector<float> first_image = {1, 2, 4, 5, 3, 0, 6, 0, 7, 8, 10, 11, 9, 0, 12, 0};
  for (size_t i = 0; i < first_image.size(); ++i) CHECK(windows.data().ptr<float>()[i] == first_image[i]);
  for (const int64_t window : {1, 2, 3, 4, 7}) {
    CAPTURE(window);
    CHECK(same_bits(join_windows(partition_windows(map, window), window, 4, 3).data(), map.data()));
  }
  CHECK_THROWS_AS(partition_windows(Var(counting({4, 3, 1})), 2), ShapeError);
}

TEST_CASE("relative attention: a bias of one offset reaches the pairs at that offset") {
  Module root(RootOptions{.seed = 1});
  RelativeAttention attention(root, "attn", 4, kTwoHeads);
  CHECK(root.find_parameter("attn.attention_biases")->shape() == Shape{2, 9});
  const Var x(waves({2, 9, 4}));
  const Tensor before = attention(x).data().clone();
  // Offset (2, 2) exists between the corners only.
  root.find_parameter("attn.attention_biases")->raw().mutable_data().mut<float>()[8] = 3;
  ++root.run().forward;
  const Tensor after = attention(x).data();
  for (int64_t t = 0; t < 9; ++t) {
    CAPTURE(t);
    bool same = true;
    for (int64_t c = 0; c < 4; ++c)
      same = same && before.ptr<float>()[t * 4 + c] == after.ptr<float>()[t * 4 + c];
    CHECK(same == (t != 0 && t != 2 && t != 6 && t != 8));
  }
}

TEST_CASE(
    "relative attention: with something at a site the composed form gives the same numbers and gradients") {
  Tensor results[3], gradients[3];
  int place = 0;
  for (const char* site : {"", "k", "probabilities"}) {
    Module root(RootOptions{.seed = 1});
    RelativeAttention attention(root, "attn", 4, kTwoHeads);
    root.find_parameter("attn.attention_biases")->raw().set_data(waves({2, 9}));
    for (Module* child : attention.children()) {
      auto* found = dynamic_cast<QuantSite*>(child);
      if (found != nullptr && child->name() == site) found->attach(std::make_shared<Identity>());
    }
    const Var y = attention(Var(waves({3, 9, 4})));
    backward(sum(mul(y, y)));
    results[place] = y.data();
    gradients[place++] = root.find_parameter("attn.attention_biases")->raw().grad();
  }
  for (int i = 1; i < 3; ++i) {
    CHECK(furthest(results[0], results[i]) < 1e-5);
    CHECK(furthest(gradients[0], gradients[i]) < 1e-4);
  }
}

TEST_CASE("relative attention: wrong shapes and heads are named") {
  Module root(RootOptions{.seed = 1});
  CHECK_THROWS_AS(RelativeAttention(root, "a", 5, kTwoHeads), ConfigError);
  RelativeAttention attention(root, "attn", 4, kTwoHeads);
  CHECK_THROWS_WITH_AS(attention(Var(waves({1, 4, 4}))), doctest::Contains("expected (windows, 9, 4)"),
                       ShapeError);
}

TEST_SUITE_END();
