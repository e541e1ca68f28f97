#include "models/resnet.h"

#include "autograd/ops/pool.h"

namespace lathe {
namespace {

// N(0, 2 / fan_out) of a weight (out, kernel, kernel, in).
Initializer kaiming_fan_out() {
  return [](Tensor& tensor, const Philox& philox) {
    init::kaiming_normal(tensor.numel() / tensor.dim(-1))(tensor, philox);
  };
}

}  // namespace

template <class Block>
ResNet<Block>::ResNet(const ResNetOptions& options, const RootOptions& root)
    : ImageModel(root),
      channels_(options.channels),
      conv1_(*this, "conv1", options.channels, options.width,
             {.kernel = 7, .stride = 2, .pad = 3, .weight_init = kaiming_fan_out()}),
      bn1_(*this, "bn1", options.width),
      stages_(*this, options.blocks, options.width,
              {.conv_init = kaiming_fan_out(), .shortcut_name = "downsample"}),
      fc_(*this, "fc", stages_.out_channels(), options.classes) {}

template <class Block>
Var ResNet<Block>::logits(const Var& images) {
  expect_images(images, channels_);
  const Var stem = conv_bn_act({conv1_, bn1_}, images);
  const Var pooled =
      max_pool2d(stem, {.kernel_h = 3, .kernel_w = 3, .stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1});
  return fc_(global_avg_pool2d(stages_(pooled)));
}

template class ResNet<BasicBlock>;
template class ResNet<Bottleneck>;

}  // namespace lathe
