#include "models/mobilenetv1_cifar.h"

#include <array>

namespace lathe {
namespace {

struct BlockSpec {
  int64_t out, stride;
};
constexpr int64_t kStem = 32;
constexpr std::array<BlockSpec, 13> kBlocks = {{{64, 1},
                                                {128, 2},
                                                {128, 1},
                                                {256, 2},
                                                {256, 1},
                                                {512, 2},
                                                {512, 1},
                                                {512, 1},
                                                {512, 1},
                                                {512, 1},
                                                {512, 1},
                                                {1024, 2},
                                                {1024, 1}}};

}  // namespace

SeparableBlock::SeparableBlock(Module& parent, std::string name, int64_t in, int64_t out, int64_t stride)
    : Module(parent, std::move(name)),
      conv1(*this, "conv1", in, in, {.kernel = 3, .stride = stride, .pad = 1, .groups = in}),
      bn1(*this, "bn1", in),
      conv2(*this, "conv2", in, out, {.kernel = 1}),
      bn2(*this, "bn2", out) {}

MobileNetV1Cifar::MobileNetV1Cifar(const MobileNetV1CifarOptions& options, const RootOptions& root)
    : ImageModel(root),
      channels_(options.channels),
      conv1_(*this, "conv1", options.channels, kStem, {.kernel = 3, .pad = 1}),
      bn1_(*this, "bn1", kStem),
      layers_(*this, "layers"),
      linear_(*this, "linear", kBlocks.back().out, options.classes) {
  int64_t in = kStem;
  for (const BlockSpec& block : kBlocks) {
    layers_.emplace(in, block.out, block.stride);
    in = block.out;
  }
}

Var MobileNetV1Cifar::logits(const Var& images) {
  expect_images(images, channels_);
  std::vector<ConvBn> chain{{conv1_, bn1_}};
  for (const auto& block : layers_) {
    chain.push_back({block->conv1, block->bn1});
    chain.push_back({block->conv2, block->bn2});
  }
  return linear_(pool_final_map(conv_bn_chain(chain, images), 2, 16));
}

}  // namespace lathe
