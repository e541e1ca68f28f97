#include "models/mlp.h"

#include "autograd/ops/activations.h"
#include "layers/blocks.h"

namespace lathe {
namespace {

int64_t pixels(const std::vector<int64_t>& input) {
  LATHE_CHECK(ConfigError, input.size() == 3, "mlp: 'input' has ", input.size(),
              " numbers, expected height, width and channels");
  return input[0] * input[1] * input[2];
}

}  // namespace

Mlp::Mlp(const MlpOptions& options, const RootOptions& root)
    : ImageModel(root),
      input_(options.input),
      layers_(*this, "layers"),
      linear_(*this, "linear", options.hidden.empty() ? pixels(options.input) : options.hidden.back(),
              options.classes) {
  int64_t in = pixels(options.input);
  for (const int64_t units : options.hidden) {
    layers_.emplace(in, units);
    in = units;
  }
}

Var Mlp::logits(const Var& images) {
  expect_images(images, input_[2]);
  LATHE_CHECK(ShapeError, images.dim(1) == input_[0] && images.dim(2) == input_[1], "mlp: the image is ",
              images.dim(1), "x", images.dim(2), ", the option 'input' says ", input_[0], "x", input_[1]);
  Var x = flatten_channels_first(images);
  for (const auto& layer : layers_) x = relu((*layer)(x));
  return linear_(x);
}

}  // namespace lathe
