#include "layers/module.h"

#include <doctest/doctest.h>

#include "core/philox.h"
#include "layers/conv.h"
#include "layers/dropout.h"
#include "layers/embedding.h"
#include "layers/linear.h"
#include "layers/norm.h"

using namespace lathe;

TEST_SUITE_BEGIN("layers");

namespace {

std::vector<std::string> paths(const Module& module) {
  std::vector<std::string> names;
  for (const Parameter* parameter : module.parameters()) names.push_back(parameter->path());
  return names;
}

}  // namespace

TEST_CASE("names, kinds and layouts of a layer's tensors") {
  Module root;
  Conv2d conv(root, "conv", 4, 6, {.kernel = 3, .groups = 2, .bias = true});
  BatchNorm bn(root, "bn", 6);
  Linear linear(root, "linear", 6, 2);
  Embedding embedding(root, "embedding", 5, 3);
  LayerNorm norm(root, "norm", 3, {.bias = false});

  CHECK(paths(root) == std::vector<std::string>{"conv.weight", "conv.bias", "bn.weight", "bn.bias",
                                                "linear.weight", "linear.bias", "embedding.weight",
                                                "norm.weight"});
  CHECK(root.find_parameter("conv.weight")->shape() == Shape{6, 3, 3, 2});
  CHECK(root.find_parameter("conv.weight")->axes() == Axes::ConvWeight);
  CHECK(root.find_parameter("linear.weight")->axes() == Axes::Plain);
  CHECK(root.find_parameter("linear.weight")->shape() == Shape{2, 6});
  CHECK(root.find_parameter("conv.weight")->kind() == Kind::Weight);
  CHECK(root.find_parameter("conv.bias")->kind() == Kind::Bias);
  CHECK(root.find_parameter("bn.bias")->kind() == Kind::Norm);
  CHECK(root.find_parameter("embedding.weight")->kind() == Kind::Embedding);
  CHECK(root.find_parameter("nothing") == nullptr);
  REQUIRE(root.buffers().size() == 2);
  CHECK(root.buffers()[0]->path() == "bn.running_mean");
  CHECK(root.buffers()[1]->path() == "bn.running_var");
  CHECK(root.buffers()[1]->data().ptr<float>()[5] == 1);
  CHECK(conv.input().path() == "conv.input");
}

TEST_CASE("a name is taken once") {
  Module root;
  const Module child(root, "a");
  CHECK_THROWS_AS(Module(root, "a"), ConfigError);
  CHECK_THROWS_AS(Module(root, "a.b"), ConfigError);
  CHECK(root.children().size() == 1);
}

TEST_CASE("options out of range name the layer") {
  Module root;
  CHECK_THROWS_WITH_AS(Conv2d(root, "conv", 3, 4, {.kernel = 3, .groups = 2}),
                       "conv (Conv2d): in 3 and out 4 must be multiples of groups 2", ConfigError);
  CHECK_THROWS_AS(Dropout(root, "drop", 1.0), ConfigError);
  CHECK_THROWS_AS(Embedding(root, "words", 4, 2, {.padding_idx = 4}), ConfigError);
  CHECK(root.children().empty());
}

TEST_CASE("an error ends with the layer it happened in") {
  Module root;
  Module block(root, "block");
  Conv2d conv(block, "conv1", 3, 4, {.kernel = 3});
  std::string message;
  try {
    conv(Var(Tensor::zeros({1, 5, 5, 2})));
  } catch (const ShapeError& error) {
    message = error.what();
  }
  CHECK(message.find("in block.conv1 (Conv2d)") != std::string::npos);
  CHECK(message.find("conv2d") == 0);
}

TEST_CASE("the same initial values for f32 and f64, another seed gives others") {
  const auto weights = [](DType dtype, uint64_t seed) {
    Module root({.seed = seed, .dtype = dtype});
    Linear linear(root, "fc", 40, 30);
    return linear.weight().raw().data().to(DType::F32);
  };
  const Tensor a = weights(DType::F32, 3), b = weights(DType::F64, 3), c = weights(DType::F32, 4);
  CHECK(std::equal(a.span<float>().begin(), a.span<float>().end(), b.span<float>().begin()));
  CHECK_FALSE(std::equal(a.span<float>().begin(), a.span<float>().end(), c.span<float>().begin()));
}

TEST_CASE("the initial values of a layer do not depend on the layers before it") {
  Module small, large;
  Linear first(large, "first", 3, 3), second(large, "second", 8, 8);
  Linear alone(small, "second", 8, 8);
  const auto a = second.weight().raw().data().span<float>(), b = alone.weight().raw().data().span<float>();
  CHECK(std::equal(a.begin(), a.end(), b.begin()));
}

TEST_SUITE_END();
