// Demucs beyond the golden files: first values, refusals, interchange of weights.

#include "models/demucs.h"

#include <cmath>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/json.h"
#include "models/registry.h"
#include "tests/support/scratch.h"
#include "train/weights.h"

using namespace lathe;

namespace {

std::unique_ptr<Model> build(const char* section, const RootOptions& root = {}) {
  return model_registry().build(parse_json(section, "test"), {}, root);
}

double deviation(const Tensor& x) {
  return 0.1 * std::pow(rescale_factor(x, 0.1), 2);
}

}  // namespace

TEST_SUITE_BEGIN("sound");

TEST_CASE("first values of convolutions are PyTorch's, drawn towards a deviation of 0.1") {
  const char* plain = R"({"type": "demucs", "channels": 8, "depth": 2, "rescale": 0})";
  const char* drawn = R"({"type": "demucs", "channels": 8, "depth": 2})";
  const auto before = build(plain), after = build(drawn);
  for (const Parameter* p : after->parameters()) {
    CAPTURE(p->path());
    const Tensor x = before->find_parameter(p->path())->raw().data(), y = p->raw().data();
    const bool conv = p->path().find("lstm") == std::string::npos;
    if (!conv) CHECK(same_bits(x, y));
    if (!conv || p->kind() != Kind::Weight) continue;
    CHECK(deviation(y) == doctest::Approx(std::sqrt(0.1 * deviation(x))).epsilon(1e-4));
    const std::string bias = p->path().substr(0, p->path().size() - 6) + "bias";
    const double factor = rescale_factor(x, 0.1);
    CHECK(after->find_parameter(bias)->raw().data().ptr<float>()[0] ==
          doctest::Approx(before->find_parameter(bias)->raw().data().ptr<float>()[0] / factor).epsilon(1e-5));
  }
}

TEST_CASE("demucs refuses what does not go together, and sounds it cannot take") {
  CHECK_THROWS_AS(build(R"({"type": "demucs", "upsample": true})"), ConfigError);
  CHECK_THROWS_AS(build(R"({"type": "demucs", "growth": 0.1})"), ConfigError);
  CHECK_THROWS_AS(build(R"({"type": "demucs", "growth": 100})"), ConfigError);
  CHECK_THROWS_AS(build(R"({"type": "demucs", "context": 2, "pad_context": true})"), ConfigError);
  const auto model = build(R"({"type": "demucs", "channels": 2, "depth": 2})");
  CHECK_THROWS_AS(model->forward({.inputs = {Tensor::zeros({1, 1000, 1})}, .size = 1}), ShapeError);
  CHECK_THROWS_AS(model->forward({.inputs = {Tensor::zeros({1, 10, 2})}, .size = 1}), ShapeError);
}

TEST_CASE("version 1 with decimation and interpolation: the original's lengths, gradients everywhere") {
  const auto model =
      build(R"({"type": "demucs", "version": 1, "channels": 3, "depth": 2, "upsample": true})");
  auto* sound = dynamic_cast<SeparationModel*>(model.get());
  REQUIRE(sound != nullptr);
  CHECK(sound->valid_length(300) == 515);
  const Var y = sound->separate(Var(Tensor::full({1, 515, 2}, 0.1)));
  CHECK(y.shape() == Shape{1, 415, 4, 2});
  backward(y, Tensor::full(y.shape(), 1));
  for (const Parameter* p : model->parameters()) CHECK_MESSAGE(p->raw().grad().defined(), p->path());
}

TEST_CASE("weights of every variant leave under PyTorch's names and come back bit for bit") {
  const tests::ScratchFolder folder;
  for (const char* section :
       {R"({"type": "demucs", "channels": 4, "depth": 3})",
        R"({"type": "demucs", "version": 1, "channels": 4, "depth": 2, "upsample": true})",
        R"({"type": "demucs", "channels": 4, "depth": 2, "glu": false, "rewrite": false,
             "lstm_layers": 0})"}) {
    CAPTURE(std::string(section));
    const auto one = build(section, {.seed = 1}), two = build(section, {.seed = 2});
    const auto path = folder / "weights.safetensors";
    export_weights(*one, path);
    import_weights(*two, path);
    for (const Parameter* p : one->parameters())
      CHECK_MESSAGE(same_bits(p->raw().data(), two->find_parameter(p->path())->raw().data()), p->path());
  }
}

TEST_SUITE_END();
