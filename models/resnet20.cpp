#include "models/resnet20.h"

#include "autograd/ops/pool.h"

namespace lathe {
namespace {

// N(0, 2 / fan_in), whatever the tensor: (out, ..., in).
Initializer kaiming() {
  return [](Tensor& tensor, const Philox& philox) {
    init::kaiming_normal(tensor.numel() / tensor.dim(0))(tensor, philox);
  };
}

ResidualBlockOptions block_options(const ResNet20Options& options) {
  return {.shortcut = options.shortcut == "A" ? Shortcut::PadChannels : Shortcut::Projection,
          .conv_init = kaiming()};
}

}  // namespace

ResNet20::ResNet20(const ResNet20Options& options, const RootOptions& root)
    : ImageModel(root),
      channels_(options.channels),
      conv1_(*this, "conv1", options.channels, options.width,
             {.kernel = 3, .pad = 1, .weight_init = kaiming()}),
      bn1_(*this, "bn1", options.width),
      stages_(*this, options.blocks, options.width, block_options(options)),
      linear_(*this, "linear", stages_.out_channels(), options.classes, {.weight_init = kaiming()}) {}

Var ResNet20::logits(const Var& images) {
  expect_images(images, channels_);
  return linear_(global_avg_pool2d(stages_(conv_bn_act({conv1_, bn1_}, images))));
}

}  // namespace lathe
