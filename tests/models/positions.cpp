// Weights of one image size in a model of another.

#include "models/positions.h"

#include <doctest/doctest.h>

#include "autograd/ops/interpolate.h"
#include "core/error.h"
#include "core/json.h"
#include "layers/parameter.h"
#include "models/registry.h"
#include "train/weights.h"

using namespace lathe;

TEST_SUITE_BEGIN("models");

namespace {

std::unique_ptr<Model> build(const std::string& options, uint64_t seed) {
  return model_registry().build(
      parse_json(R"({"type": "deit_tiny", "patch": 8, "width": 12, "depth": 1, "heads": 3, "classes": 5, )" +
                     options + "}",
                 "test"),
      {}, {.seed = seed});
}

const Tensor& weights(const Model& model, const char* name) {
  return model.find_parameter(name)->raw().data();
}

}  // namespace

TEST_CASE("positions of another image size are resampled, their extra tokens kept") {
  for (const std::string extra : {"", R"(, "distilled": true)"}) {
    const int64_t tokens = extra.empty() ? 1 : 2, width = 12;
    const auto small = build(R"("image": 32)" + extra, 1), large = build(R"("image": 48)" + extra, 2);
    from_pytorch(*large, to_pytorch(*small), "w");
    const Tensor& from = weights(*small, "pos_embed");
    const Tensor& to = weights(*large, "pos_embed");
    REQUIRE(to.shape() == Shape{1, tokens + 36, width});
    for (int64_t i = 0; i < tokens * width; ++i) CHECK(to.ptr<float>()[i] == from.ptr<float>()[i]);
    std::vector<float> grid(from.ptr<float>() + tokens * width, from.ptr<float>() + from.numel());
    const Var wanted =
        interpolate(Var(Tensor::from(grid, {1, 4, 4, width}).to(DType::F64)), {6, 6}, Interpolation::Cubic);
    for (int64_t i = 0; i < wanted.data().numel(); ++i) {
      CHECK(to.ptr<float>()[tokens * width + i] == static_cast<float>(wanted.data().ptr<double>()[i]));
    }
    CHECK(same_bits(weights(*large, "head.weight"), weights(*small, "head.weight")));
  }
}

TEST_CASE("positions that are no grid, or of another width, are refused") {
  CHECK_FALSE(resized_positions(Tensor::zeros({1, 18, 12}), {1, 37, 12}, 1).defined());
  CHECK_FALSE(resized_positions(Tensor::zeros({1, 17, 8}), {1, 37, 12}, 1).defined());
  CHECK_FALSE(resized_positions(Tensor::zeros({17, 12}), {1, 37, 12}, 1).defined());
  CHECK_FALSE(resized_positions(Tensor::zeros({1, 0, 12}), {1, 37, 12}, 1).defined());
  const auto plain = build(R"("image": 32)", 1), distilled = build(R"("image": 48, "distilled": true)", 2);
  CHECK_THROWS_WITH_AS(from_pytorch(*distilled, to_pytorch(*plain), "w"),
                       doctest::Contains("'pos_embed' has shape (1, 17, 12), the model expects (1, 38, 12)"),
                       FormatError);
}

TEST_SUITE_END();
