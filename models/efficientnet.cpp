#include "models/efficientnet.h"

#include "autograd/ops/activations.h"
#include "autograd/ops/pool.h"
#include "models/stage_string.h"

namespace lathe {
namespace {

std::vector<StageSpec> scaled_stages(const EfficientNetOptions& options) {
  LATHE_CHECK(ConfigError, !options.stages.empty(), "efficientnet: 'stages' lists no stage");
  std::vector<StageSpec> stages;
  for (const std::string& text : options.stages) {
    StageSpec& stage = stages.emplace_back(parse_stage(text));
    stage.channels = scaled_channels(stage.channels, options.width_multiplier);
    stage.repeats = scaled_repeats(stage.repeats, options.depth_multiplier);
  }
  return stages;
}

std::unique_ptr<EfficientNetBlock> make_block(Module& stage, bool inverted, size_t index,
                                              const EfficientNetBlockOptions& options) {
  std::string name = std::to_string(index);
  if (inverted) return std::make_unique<InvertedResidual>(stage, std::move(name), options);
  return std::make_unique<DepthwiseSeparable>(stage, std::move(name), options);
}

}  // namespace

int64_t EfficientNet::build(const EfficientNetOptions& options) {
  const std::vector<StageSpec> stages = scaled_stages(options);
  double total = 0, index = 0;
  for (const StageSpec& stage : stages) total += static_cast<double>(stage.repeats);
  int64_t width = stem_width_;
  for (const StageSpec& spec : stages) {
    Stage& stage = blocks_.emplace();
    for (int64_t i = 0; i < spec.repeats; ++i) {
      const EfficientNetBlockOptions block{.in = width,
                                           .out = spec.channels,
                                           .kernel = spec.kernel,
                                           .stride = i == 0 ? spec.stride : 1,
                                           .expand = spec.expand,
                                           .squeeze = spec.squeeze,
                                           .drop_path = options.drop_path * index++ / total};
      stage.blocks.push_back(make_block(stage, spec.inverted, stage.blocks.size(), block));
      width = spec.channels;
    }
  }
  return width;
}

EfficientNet::EfficientNet(const EfficientNetOptions& options, const RootOptions& root)
    : ImageModel(root),
      channels_(options.channels),
      stem_width_(scaled_channels(options.stem, options.width_multiplier)),
      head_width_(scaled_channels(options.head, options.width_multiplier)),
      conv_stem_(*this, "conv_stem", options.channels, stem_width_, efficientnet_conv(stem_width_, 3, 2)),
      bn1_(*this, "bn1", stem_width_),
      blocks_(*this, "blocks"),
      last_width_(build(options)),
      conv_head_(*this, "conv_head", last_width_, head_width_, efficientnet_conv(head_width_, 1)),
      bn2_(*this, "bn2", head_width_),
      drop_(*this, "drop", options.dropout),
      classifier_(*this, "classifier", head_width_, options.classes, efficientnet_linear(options.classes)) {}

Var EfficientNet::logits(const Var& images) {
  expect_images(images, channels_);
  Var x = silu(conv_bn_act({conv_stem_, bn1_}, images, {}));
  for (const auto& stage : blocks_) {
    for (const auto& block : stage->blocks) x = (*block)(x);
  }
  x = silu(conv_bn_act({conv_head_, bn2_}, x, {}));
  return classifier_(drop_(global_avg_pool2d(x)));
}

}  // namespace lathe
