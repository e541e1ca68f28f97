#include "models/resnet18_cifar.h"

namespace lathe {
namespace {

const std::vector<int64_t>& four_stages(const std::vector<int64_t>& blocks) {
  LATHE_CHECK(ConfigError, blocks.size() == 4, "resnet18_cifar: 'blocks' has ", blocks.size(),
              " stages, expected 4");
  return blocks;
}

}  // namespace

ResNet18Cifar::ResNet18Cifar(const ResNet18CifarOptions& options, const RootOptions& root)
    : ImageModel(root),
      channels_(options.channels),
      conv1_(*this, "conv1", options.channels, options.width, {.kernel = 3, .pad = 1}),
      bn1_(*this, "bn1", options.width),
      stages_(*this, four_stages(options.blocks), options.width, {.shortcut = Shortcut::Projection}),
      linear_(*this, "linear", stages_.out_channels(), options.classes) {}

Var ResNet18Cifar::logits(const Var& images) {
  expect_images(images, channels_);
  const Var map = stages_(conv_bn_act({conv1_, bn1_}, images));
  return linear_(pool_final_map(map, 4, 8));
}

}  // namespace lathe
