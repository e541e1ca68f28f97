#include "models/mobilenetv1.h"

#include <array>

#include "autograd/ops/activations.h"
#include "autograd/ops/pool.h"
#include "models/efficientnet_blocks.h"
#include "models/stage_string.h"

namespace lathe {
namespace {

struct StageRow {
  int64_t out, stride, blocks;
};
constexpr int64_t kStem = 32;
constexpr std::array<StageRow, 5> kStages = {
    {{64, 1, 1}, {128, 2, 2}, {256, 2, 2}, {512, 2, 6}, {1024, 2, 2}}};

Var conv_bn_relu6(const ConvBn& layer, const Var& x) {
  return relu6(conv_bn_act(layer, x, {}));
}

}  // namespace

MobileNetV1Block::MobileNetV1Block(Module& parent, std::string name, int64_t in, int64_t out, int64_t stride)
    : Module(parent, std::move(name)),
      conv_dw(*this, "conv_dw", in, in, efficientnet_conv(in, 3, stride, in)),
      bn1(*this, "bn1", in),
      conv_pw(*this, "conv_pw", in, out, efficientnet_conv(out, 1)),
      bn2(*this, "bn2", out) {}

Var MobileNetV1Block::operator()(const Var& x) {
  const ErrorScope scope(*this);
  return conv_bn_relu6({conv_pw, bn2}, conv_bn_relu6({conv_dw, bn1}, x));
}

MobileNetV1::MobileNetV1(const MobileNetV1Options& options, const RootOptions& root)
    : ImageModel(root),
      channels_(options.channels),
      conv_stem_(*this, "conv_stem", options.channels, scaled_channels(kStem, options.width_multiplier),
                 efficientnet_conv(scaled_channels(kStem, options.width_multiplier), 3, 2)),
      bn1_(*this, "bn1", scaled_channels(kStem, options.width_multiplier)),
      blocks_(*this, "blocks"),
      drop_(*this, "drop", options.dropout),
      classifier_(*this, "classifier", scaled_channels(kStages.back().out, options.width_multiplier),
                  options.classes, efficientnet_linear(options.classes)) {
  int64_t in = scaled_channels(kStem, options.width_multiplier);
  for (const StageRow& row : kStages) {
    const int64_t out = scaled_channels(row.out, options.width_multiplier);
    ModuleList<MobileNetV1Block>& stage = blocks_.emplace();
    for (int64_t i = 0; i < row.blocks; ++i) {
      stage.emplace(in, out, i == 0 ? row.stride : 1);
      in = out;
    }
  }
}

Var MobileNetV1::logits(const Var& images) {
  expect_images(images, channels_);
  Var x = conv_bn_relu6({conv_stem_, bn1_}, images);
  for (const auto& stage : blocks_) {
    for (const auto& block : *stage) x = (*block)(x);
  }
  return classifier_(drop_(global_avg_pool2d(x)));
}

}  // namespace lathe
