// What golden files and manifests do not say of transformers and ImageNet's ResNets: initial values, the two
// heads of a distilled model, the seam of models of text.

#include <cmath>
#include <memory>

#include <doctest/doctest.h>

#include "autograd/ops/loss.h"
#include "core/json.h"
#include "layers/parameter.h"
#include "models/gpt.h"
#include "models/registry.h"
#include "models/vit.h"

using namespace lathe;

TEST_SUITE_BEGIN("models");

namespace {

std::unique_ptr<Model> build(const char* section) {
  return model_registry().build(parse_json(section, "test"), {}, {.seed = 2});
}

struct Moments {
  double mean = 0, deviation = 0, largest = 0;
};

Moments moments(const Model& model, std::string_view name) {
  const Parameter* parameter = model.find_parameter(name);
  REQUIRE_MESSAGE(parameter != nullptr, std::string(name));
  const auto x = parameter->raw().data().span<float>();
  double sum = 0, squares = 0, largest = 0;
  for (const float value : x) {
    sum += value;
    squares += double{value} * value;
    largest = std::max(largest, std::abs(double{value}));
  }
  const auto n = static_cast<double>(x.size());
  return {sum / n, std::sqrt(squares / n - sum / n * (sum / n)), largest};
}

// The mean is 0, the standard deviation the given one.
void check_normal(const Model& model, std::string_view name, double std) {
  CAPTURE(std::string(name));
  const Moments found = moments(model, name);
  CHECK(std::abs(found.mean) < 0.1 * std);
  CHECK(found.deviation == doctest::Approx(std).epsilon(0.1));
  CHECK(found.largest > 2.5 * std);
}

void check_uniform(const Model& model, std::string_view name, double bound) {
  CAPTURE(std::string(name));
  const Moments found = moments(model, name);
  CHECK(found.largest <= bound);
  CHECK(found.deviation == doctest::Approx(bound / std::sqrt(3)).epsilon(0.15));
}

}  // namespace

TEST_CASE("initial values are the originals'") {
  const auto resnet = build(R"({"type": "resnet50", "blocks": [1, 1, 1, 1], "width": 16, "classes": 10})");
  check_normal(*resnet, "conv1.weight", std::sqrt(2.0 / (16 * 49)));
  check_normal(*resnet, "layer2.0.conv2.weight", std::sqrt(2.0 / (32 * 9)));
  check_normal(*resnet, "layer2.0.downsample.0.weight", std::sqrt(2.0 / 128));
  check_uniform(*resnet, "fc.weight", 1 / std::sqrt(512));

  const auto deit = build(R"({"type": "deit_tiny", "depth": 2, "distilled": true})");
  for (const char* name : {"cls_token", "pos_embed", "dist_token", "blocks.1.attn.qkv.weight",
                           "blocks.1.attn.proj.weight", "blocks.1.mlp.fc2.weight", "head.weight"})
    check_normal(*deit, name, 0.02);
  for (const char* name : {"blocks.1.attn.qkv.bias", "blocks.0.mlp.fc1.bias", "head_dist.bias"})
    CHECK(moments(*deit, name).largest == 0);
  check_uniform(*deit, "patch_embed.proj.weight", 1 / std::sqrt(768));
  check_uniform(*deit, "patch_embed.proj.bias", 1 / std::sqrt(768));

  const auto vit = build(R"({"type": "vit_cifar", "depth": 1})");
  check_normal(*vit, "pos_embedding", 1);
  check_normal(*vit, "cls_token", 1);
  check_uniform(*vit, "transformer.layers.0.0.fn.fn.to_qkv.weight", 1 / std::sqrt(512));

  const auto gpt = build(R"({"type": "gpt", "layers": 2, "bias": true})");
  for (const char* name : {"transformer.wte.weight", "transformer.wpe.weight",
                           "transformer.h.1.attn.c_attn.weight", "transformer.h.1.mlp.c_fc.weight"})
    check_normal(*gpt, name, 0.02);
  for (const char* name : {"transformer.h.1.attn.c_proj.weight", "transformer.h.1.mlp.c_proj.weight"})
    check_normal(*gpt, name, 0.02 / std::sqrt(4));
  CHECK(moments(*gpt, "transformer.h.0.mlp.c_fc.bias").largest == 0);
}

TEST_CASE("a distilled model has two heads and averages them") {
  VisionTransformerOptions options;
  options.image = 16;
  options.patch = 8;
  options.width = 24;
  options.depth = 2;
  options.classes = 5;
  const Tensor images = Tensor::full({3, 16, 16, 3}, 0.5);
  VisionTransformer plain(options, {.seed = 1});
  CHECK_FALSE(plain.heads(Var(images)).second.defined());

  options.distilled = true;
  VisionTransformer model(options, {.seed = 1});
  const auto [classes, distilled] = model.heads(Var(images));
  const Var mean = model.logits(Var(images));
  for (int64_t i = 0; i < 15; ++i) {
    const float a = classes.data().ptr<float>()[i], b = distilled.data().ptr<float>()[i];
    CHECK(mean.data().ptr<float>()[i] == doctest::Approx((a + b) / 2));
  }
  // A loss of one head alone leaves the other without gradient.
  backward(cross_entropy(distilled, Tensor::from(std::vector<int64_t>{0, 1, 2}, {3})));
  CHECK(model.find_parameter("head_dist.weight")->raw().grad().defined());
  CHECK_FALSE(model.find_parameter("head.weight")->raw().grad().defined());
}

TEST_CASE("a model of text takes one tensor of token ids") {
  Gpt model({.context = 8, .vocab = 10, .layers = 1, .heads = 2, .width = 8}, {.seed = 1});
  const Tensor tokens = Tensor::from(std::vector<int64_t>{1, 2, 3, 9}, {2, 2});
  CHECK(model.input_dtype() == DType::I64);
  CHECK(model.forward({.inputs = {tokens}, .size = 2}).shape() == Shape{2, 2, 10});
  CHECK_THROWS_AS(model.forward({.inputs = {}, .size = 0}), ShapeError);
  CHECK_THROWS_AS(model.forward({.inputs = {tokens, tokens}, .size = 2}), ShapeError);
  CHECK_THROWS_AS(model.forward({.inputs = {Tensor::full({2, 2}, 1)}, .size = 2}), DTypeError);
  CHECK_THROWS_AS(model.logits(Tensor::from(std::vector<int64_t>{1, 10}, {1, 2})), ShapeError);
}

TEST_CASE("the head of a gpt is its token embedding") {
  Gpt model({.context = 4, .vocab = 6, .layers = 1, .heads = 1, .width = 4, .dropout = 0}, {.seed = 1});
  Parameter& head = *model.find_parameter("lm_head.weight");
  const Parameter& embedding = *model.find_parameter("transformer.wte.weight");
  CHECK(head.tied());
  CHECK(&head.owner() == &embedding);
  CHECK(head.kind() == Kind::Embedding);
  CHECK(head.raw().same(embedding.raw()));
}

TEST_CASE("the head of an untied gpt has a weight of its own") {
  const auto gpt = build(R"({"type": "gpt", "layers": 2, "tied": false})");
  const Parameter& head = *gpt->find_parameter("lm_head.weight");
  CHECK_FALSE(head.tied());
  CHECK(head.kind() == Kind::Weight);
  check_normal(*gpt, "lm_head.weight", 0.02);
  CHECK(gpt->find_parameter("lm_head.bias") == nullptr);
}

TEST_SUITE_END();
