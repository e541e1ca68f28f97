#include <cmath>
#include <memory>

#include <doctest/doctest.h>

#include "autograd/ops/loss.h"
#include "core/json.h"
#include "core/philox.h"
#include "layers/model.h"
#include "layers/parameter.h"
#include "layers/recompute.h"
#include "models/basic_block.h"
#include "models/registry.h"

using namespace lathe;

TEST_SUITE_BEGIN("models");

namespace {

std::unique_ptr<Model> build(const std::string& section, const RootOptions& root = {}) {
  return model_registry().build(parse_json(section, "test"), {}, root);
}

int64_t parameter_count(const Model& model) {
  int64_t count = 0;
  for (const Parameter* parameter : model.parameters()) count += parameter->tied() ? 0 : parameter->numel();
  return count;
}

Tensor noise(const Shape& shape) {
  Tensor tensor = Tensor::empty(shape);
  const Philox philox{1, stream_id("test images"), 0};
  float* x = tensor.mut<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) x[i] = 2 * philox.uniform(static_cast<uint64_t>(i)) - 1;
  return tensor;
}

struct Case {
  const char* section;
  int64_t parameters;
  Shape sample;
};

// Counts by hand or from models.md, table 1.1.
std::vector<Case> convolutional() {
  return {
      {R"({"type": "mlp"})", 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10, {28, 28, 1}},
      {R"({"type": "mlp", "hidden": [], "input": [4, 5, 3], "classes": 7})", 60 * 7 + 7, {4, 5, 3}},
      {R"({"type": "lenet"})", 61706, {28, 28, 1}},
      {R"({"type": "lenet", "channels": 3, "image": 32})", 83126, {32, 32, 3}},
      {R"({"type": "resnet20"})", 269722, {32, 32, 3}},
      {R"({"type": "resnet20", "classes": 100})", 275572, {32, 32, 3}},
      {R"({"type": "resnet20", "blocks": [1, 1, 1], "width": 8, "shortcut": "B"})", 19954, {16, 16, 3}},
      {R"({"type": "resnet32"})", 464154, {32, 32, 3}},
      {R"({"type": "resnet44"})", 658586, {32, 32, 3}},
      {R"({"type": "resnet56"})", 853018, {32, 32, 3}},
      {R"({"type": "resnet18_cifar"})", 11173962, {32, 32, 3}},
      {R"({"type": "resnet18_cifar", "classes": 100})", 11220132, {28, 28, 3}},
      {R"({"type": "wrn28_10"})", 36489290, {32, 32, 3}},
      {R"({"type": "wrn28_10", "classes": 100})", 36546980, {32, 32, 3}},
      {R"({"type": "wrn28_10", "depth": 10, "widen": 1})", 78186, {32, 32, 3}},
      {R"({"type": "mobilenetv1_cifar"})", 3217226, {32, 32, 3}},
      {R"({"type": "mobilenetv1_cifar", "classes": 100})", 3309476, {32, 32, 3}},
      {R"({"type": "resnet18"})", 11689512, {224, 224, 3}},
      {R"({"type": "resnet18", "classes": 10, "width": 16})", 703386, {64, 50, 3}},
      {R"({"type": "resnet50"})", 25557032, {224, 224, 3}},
      {R"({"type": "resnet50", "classes": 12, "blocks": [1, 1, 1, 1]})", 8040524, {33, 64, 3}},
      {R"({"type": "mobilenetv1"})", 4231976, {224, 224, 3}},
      {R"({"type": "mobilenetv1", "width_multiplier": 0.25, "classes": 10})", 215642, {33, 64, 3}},
      {R"({"type": "efficientnet_b3"})", 12233232, {300, 300, 3}},
      {R"({"type": "efficientnet_b3", "classes": 12, "stem": 16, "head": 96, "width_multiplier": 1,
          "depth_multiplier": 1, "stages": ["ds_r1_k3_s1_e1_c16_se0.25", "ir_r2_k3_s2_e6_c24_se0.25",
          "ir_r2_k5_s2_e4_c40_se0.25"]})",
       54138,
       {40, 33, 3}},
  };
}

std::vector<Case> attentive() {
  return {
      {R"({"type": "vit_cifar"})", 9786378, {32, 32, 3}},
      {R"({"type": "vit_cifar", "width": 32, "depth": 2, "heads": 4, "mlp": 48})", 20634, {32, 32, 3}},
      {R"({"type": "deit_tiny"})", 5717416, {224, 224, 3}},
      {R"({"type": "deit_tiny", "distilled": true})", 5910800, {224, 224, 3}},
      {R"({"type": "deit_tiny", "image": 32, "patch": 8, "width": 48, "depth": 3, "classes": 12})",
       95628,
       {32, 32, 3}},
      {R"({"type": "deit_small"})", 22050664, {224, 224, 3}},
      {R"({"type": "deit_base"})", 86567656, {224, 224, 3}},
      {R"({"type": "deit_base", "classes": 10})", 85806346, {224, 224, 3}},
      {R"({"type": "vit_tiny", "classes": 10})", 5526346, {224, 224, 3}},
      {R"({"type": "tiny_vit_5m"})", 5392764, {224, 224, 3}},
      {R"({"type": "tiny_vit_5m", "image": 50, "classes": 10})", 5074974, {50, 50, 3}},
      {R"({"type": "gpt"})", 10745088, {256}},
      {R"({"type": "gpt", "context": 16, "vocab": 32, "layers": 2, "heads": 2, "width": 24,
          "bias": true})",
       15648,
       {9}},
      {R"({"type": "gpt", "context": 128, "vocab": 256, "layers": 4, "heads": 4, "width": 256,
          "bias": true, "tied": false})",
       3323392,
       {128}},
      {R"({"type": "gpt", "context": 1024, "vocab": 50257, "layers": 12, "heads": 12,
          "width": 768, "bias": true})",
       124439808,
       {1024}},
      {R"({"type": "transformer_lm", "vocab": 100, "cutoffs": [20, 60], "width": 32, "layers": 2, "heads": 4,
          "ffn": 64})",
       19536,
       {12}},
      {R"({"type": "transformer_lm_wiki103"})", 246933504, {3072}},
  };
}

const std::vector<Case>& cases() {
  static const std::vector<Case> table = [] {
    std::vector<Case> all = convolutional();
    for (Case& one : attentive()) all.push_back(std::move(one));
    return all;
  }();
  return table;
}

// n samples without content: images or sequences of token ids.
Batch meta_batch(const Model& model, int64_t n, const Shape& sample) {
  std::vector<int64_t> dims = {n};
  dims.insert(dims.end(), sample.begin(), sample.end());
  return {.inputs = {Tensor::empty(Shape(dims), model.input_dtype(), Device::meta())}, .size = n};
}

// Logits of n samples, or their sources, by the options of the section.
Shape logits_shape(const std::string& section, int64_t n, const Shape& sample) {
  const Value resolved = model_registry().resolve(parse_json(section, "test"), {});
  if (const Value* sources = resolved.find("sources"))  // its context takes the rest
    return {n, sample[0] - 5460, sources->as_int(), sample[1]};
  if (const Value* cutoffs = resolved.find("cutoffs")) {  // the softmax's first level
    const auto tails = static_cast<int64_t>(cutoffs->items().size());
    return {n, sample[0], cutoffs->items()[0].as_int() + tails};
  }
  if (const Value* vocab = resolved.find("vocab")) return {n, sample[0], vocab->as_int()};
  return {n, resolved.find("classes")->as_int()};
}

}  // namespace

TEST_CASE("parameter counts and output shapes") {
  for (const Case& row : cases()) {
    CAPTURE(std::string(row.section));
    const auto model = build(row.section, {.device = Device::meta()});
    CHECK(parameter_count(*model) == row.parameters);
    const Var y = model->forward(meta_batch(*model, 3, row.sample));
    CHECK(y.shape() == logits_shape(row.section, 3, row.sample));
  }
}

TEST_CASE("every model has an input shape that it accepts, a description and a schema") {
  for (const auto& entry : model_registry().entries()) {
    CAPTURE(entry.name);
    CHECK_FALSE(entry.doc.empty());
    CHECK(entry.schema().find("properties") != nullptr);
    const std::string section = R"({"type": ")" + entry.name + R"("})";
    const auto model = build(section, {.device = Device::meta()});
    const Shape sample = model_input_shape(entry.name);
    CHECK(model->forward(meta_batch(*model, 2, sample)).shape() == logits_shape(section, 2, sample));
  }
  CHECK_THROWS_AS(model_input_shape("resnet21"), ConfigError);
}

TEST_CASE("samples that do not fit are refused in the user's words") {
  const auto message = [](const char* section, const Shape& image) -> std::string {
    try {
      const auto model = build(section, {.device = Device::meta()});
      model->forward(meta_batch(*model, 2, image));
    } catch (const ShapeError& error) {
      return error.what();
    }
    return "accepted";
  };
  const auto says = [&](const char* section, const Shape& image, const std::string& text) {
    const std::string found = message(section, image);
    CHECK_MESSAGE(found.find(text) != std::string::npos, found);
  };
  says(R"({"type": "resnet20"})", {32, 32, 1}, "expected images (N, H, W, 3), found (2, 32, 32, 1)");
  says(R"({"type": "resnet18_cifar"})", {64, 64, 3}, "give images of 25 to 32 pixels a side");
  says(R"({"type": "resnet18_cifar"})", {24, 24, 3}, "the final map is 3x3, expected 4x4");
  says(R"({"type": "wrn28_10", "depth": 10, "widen": 1})", {28, 28, 3}, "29 to 32 pixels");
  says(R"({"type": "mobilenetv1_cifar"})", {16, 32, 3}, "17 to 32 pixels");
  says(R"({"type": "lenet"})", {32, 32, 1}, "the option 'image' says 28x28");
  says(R"({"type": "mlp"})", {28, 27, 1}, "the option 'input' says 28x28");
  says(R"({"type": "deit_tiny"})", {224, 192, 3},
       "vit: the image is 224x192, the option 'image' says 224x224");
  says(R"({"type": "vit_cifar"})", {28, 28, 3}, "the option 'image' says 32x32");
  says(R"({"type": "vit_cifar"})", {32, 32, 1}, "expected images (N, H, W, 3), found (2, 32, 32, 1)");
  says(R"({"type": "gpt"})", {257}, "Gpt: a sequence of 257 tokens, the option 'context' says at most 256");
  says(R"({"type": "efficientnet_b3"})", {32, 32, 1}, "expected images (N, H, W, 3), found (2, 32, 32, 1)");
  says(R"({"type": "tiny_vit_5m"})", {32, 32, 3}, "the image is 32x32, the option 'image' says 224x224");
  says(R"({"type": "gpt"})", {32, 32, 3}, "expected token ids (N, T), found (2, 32, 32, 3)");
  CHECK(message(R"({"type": "resnet20"})", {9, 14, 3}) == "accepted");
  CHECK(message(R"({"type": "resnet18_cifar"})", {25, 25, 3}) == "accepted");
  CHECK(message(R"({"type": "wrn28_10", "depth": 10, "widen": 1})", {29, 29, 3}) == "accepted");
  CHECK(message(R"({"type": "mobilenetv1_cifar"})", {17, 17, 3}) == "accepted");
  CHECK(message(R"({"type": "lenet", "image": 12})", {12, 12, 1}) == "accepted");
}

TEST_CASE("options that make no model are refused") {
  CHECK_THROWS_AS(build(R"({"type": "resnet21"})"), ConfigError);
  CHECK_THROWS_AS(build(R"({"type": "resnet20", "shortcut": "C"})"), ConfigError);
  CHECK_THROWS_AS(build(R"({"type": "resnet20", "blocks": []})"), ConfigError);
  CHECK_THROWS_AS(build(R"({"type": "resnet20", "blocks": [1, 0]})"), ConfigError);
  CHECK_THROWS_AS(build(R"({"type": "resnet18_cifar", "blocks": [2, 2]})"), ConfigError);
  CHECK_THROWS_WITH_AS(build(R"({"type": "wrn28_10", "depth": 27})"),
                       "wrn28_10: depth 27 is not 6 n + 4 (10, 16, 22, 28, ...)", ConfigError);
  CHECK_THROWS_AS(build(R"({"type": "wrn28_10", "dropout": 1.0})"), ConfigError);
  CHECK_THROWS_AS(build(R"({"type": "mlp", "input": [28, 28]})"), ConfigError);
  const RootOptions meta{.device = Device::meta()};
  CHECK_THROWS_WITH_AS(build(R"({"type": "deit_tiny", "heads": 5})", meta),
                       "blocks.0.attn (SelfAttention): 5 heads do not divide a width of 192", ConfigError);
  CHECK_THROWS_WITH_AS(build(R"({"type": "deit_tiny", "image": 100})", meta),
                       "vit: patches of 16 pixels do not divide an image of 100", ConfigError);
  CHECK_THROWS_AS(build(R"({"type": "vit_cifar", "patch": 5})", meta), ConfigError);
  CHECK_THROWS_AS(build(R"({"type": "gpt", "heads": 7})", meta), ConfigError);
  CHECK_THROWS_AS(build(R"({"type": "gpt", "dropout": 1.0})", meta), ConfigError);
}

namespace {

Batch eight_images(const Shape& images) {
  return {.inputs = {noise(images)},
          .targets = {Tensor::from(std::vector<int64_t>{3, 1, 4, 1, 5, 9, 2, 6}, {8})},
          .size = 8};
}

// The losses of SGD with momentum 0.9 on one batch.
std::vector<double> overfit(const char* section, const Batch& batch, int steps, float rate = 0.03f) {
  constexpr float kMomentum = 0.9f;
  const auto built = build(section, {.seed = 1});
  Model& model = *built;
  std::vector<Parameter*> trained = model.parameters();
  std::erase_if(trained, [](const Parameter* p) { return p->tied(); });
  std::vector<Tensor> velocity;
  for (const Parameter* p : trained) velocity.push_back(p->raw().data().zeros_like());
  std::vector<double> losses;
  for (int step = 0; step < steps; ++step) {
    model.run().step = static_cast<uint32_t>(step);
    ++model.run().forward;
    const Var loss = cross_entropy(model.forward(batch), batch.targets[0]);
    losses.push_back(loss.data().item());
    backward(loss);
    for (size_t i = 0; i < trained.size(); ++i) {
      const Var& raw = trained[i]->raw();
      const float* g = raw.grad().ptr<float>();
      float *v = velocity[i].mut<float>(), *p = raw.mutable_data().mut<float>();
      for (int64_t j = 0; j < raw.data().numel(); ++j) {
        v[j] = kMomentum * v[j] + g[j];
        p[j] -= rate * v[j];
      }
      raw.grad() = Tensor();
    }
  }
  return losses;
}

}  // namespace

TEST_CASE("small models overfit one small batch") {
  struct Fit {
    const char* section;
    Shape images;
    int steps = 60;
    float rate = 0.03f;
  };
  const Fit fits[] = {
      {R"({"type": "mlp", "input": [8, 8, 1]})", {8, 8, 8, 1}},
      {R"({"type": "lenet"})", {8, 28, 28, 1}},
      {R"({"type": "resnet20", "blocks": [1, 1, 1]})", {8, 16, 16, 3}},
      {R"({"type": "resnet20", "blocks": [1, 1, 1], "shortcut": "B"})", {8, 16, 16, 3}},
      {R"({"type": "resnet18_cifar", "blocks": [1, 1, 1, 1], "width": 8})", {8, 25, 25, 3}},
      {R"({"type": "wrn28_10", "depth": 10, "widen": 1, "dropout": 0.1})", {8, 29, 29, 3}},
      {R"({"type": "resnet18", "classes": 10, "blocks": [1, 1, 1, 1], "width": 8})", {8, 64, 64, 3}},
      {R"({"type": "resnet50", "classes": 10, "blocks": [1, 1, 1, 1], "width": 8})", {8, 64, 64, 3}},
      {R"({"type": "vit_cifar", "image": 16, "width": 32, "depth": 2, "heads": 4, "mlp": 48})",
       {8, 16, 16, 3},
       200,
       0.02f},
      {R"({"type": "deit_tiny", "image": 16, "patch": 4, "width": 48, "depth": 2, "classes": 10})",
       {8, 16, 16, 3}},
  };
  for (const Fit& fit : fits) {
    CAPTURE(std::string(fit.section));
    const std::vector<double> losses = overfit(fit.section, eight_images(fit.images), fit.steps, fit.rate);
    CHECK(losses.front() > 1.5);
    CHECK_MESSAGE(losses.back() < 0.2, "loss ", losses.back(), " after ", losses.front());
  }
}

TEST_CASE("a small language model overfits one small batch") {
  const Batch batch{
      .inputs = {Tensor::from(std::vector<int64_t>{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3}, {2, 8})},
      .targets = {Tensor::from(std::vector<int64_t>{1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2}, {2, 8})},
      .size = 2};
  const char* section = R"({"type": "gpt", "context": 8, "vocab": 10, "layers": 2, "heads": 2, "width": 32,
                            "dropout": 0.1})";
  const std::vector<double> losses = overfit(section, batch, 150, 0.1f);
  CHECK(losses.front() == doctest::Approx(std::log(10)).epsilon(0.1));
  CHECK_MESSAGE(losses.back() < 0.2, "loss ", losses.back(), " after ", losses.front());
}

TEST_CASE("an f64 model starts from the same numbers and agrees with f32") {
  const char* section = R"({"type": "resnet20", "blocks": [1, 1, 1]})";
  const auto narrow = build(section, {.seed = 4}), wide = build(section, {.seed = 4, .dtype = DType::F64});
  const Batch batch{.inputs = {noise({2, 16, 16, 3})}, .size = 2};
  const Tensor a = narrow->forward(batch).data(), b = wide->forward(batch).data();
  CHECK(b.dtype() == DType::F64);
  for (int64_t i = 0; i < a.numel(); ++i)
    CHECK(a.ptr<float>()[i] == doctest::Approx(b.ptr<double>()[i]).epsilon(1e-4));
}

TEST_CASE("a recomputed block gives the same gradients and updates its statistics once") {
  struct Outcome {
    std::vector<Tensor> tensors;
  };
  const auto run = [](bool recomputed) {
    Module root({.seed = 2});
    BasicBlock block(root, "block", {.in = 4, .out = 8, .stride = 2});
    root.run().forward = 1;
    const Var x(noise({2, 8, 8, 4}), true);
    const auto fn = [&](const std::vector<Var>& in) { return block(in[0]); };
    const Var y = recomputed ? recompute(root, fn, {x}) : fn({x});
    backward(y, noise({2, 4, 4, 8}));
    Outcome outcome{{y.data(), x.grad()}};
    for (const Parameter* p : root.parameters()) outcome.tensors.push_back(p->raw().grad());
    for (const Buffer* b : root.buffers()) outcome.tensors.push_back(b->data());
    return outcome;
  };
  const Outcome plain = run(false), again = run(true);
  REQUIRE(plain.tensors.size() == again.tensors.size());
  for (size_t i = 0; i < plain.tensors.size(); ++i) {
    const auto a = plain.tensors[i].span<float>(), b = again.tensors[i].span<float>();
    CHECK(std::equal(a.begin(), a.end(), b.begin()));
  }
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("slow models");

TEST_CASE("MobileNetV1 overfits one small batch") {
  const std::vector<double> losses =
      overfit(R"({"type": "mobilenetv1_cifar"})", eight_images({8, 17, 17, 3}), 40);
  CHECK(losses.front() > 1.5);
  CHECK_MESSAGE(losses.back() < 0.2, "loss ", losses.back(), " after ", losses.front());
}

TEST_SUITE_END();
