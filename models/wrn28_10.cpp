#include "models/wrn28_10.h"

#include "autograd/ops/elementwise.h"

namespace lathe {

WideShortcut::WideShortcut(Module& parent, std::string name, int64_t in, int64_t out, int64_t stride)
    : Module(parent, std::move(name)),
      conv(*this, "0", in, out, {.kernel = 1, .stride = stride, .bias = true}) {}

WideBlock::WideBlock(Module& parent, std::string name, const Options& options)
    : Module(parent, std::move(name)),
      bn1(*this, "bn1", options.in),
      conv1(*this, "conv1", options.in, options.out, {.kernel = 3, .pad = 1, .bias = true}),
      dropout(*this, "dropout", options.dropout),
      bn2(*this, "bn2", options.out),
      conv2(*this, "conv2", options.out, options.out,
            {.kernel = 3, .stride = options.stride, .pad = 1, .bias = true}) {
  if (options.stride != 1 || options.in != options.out)
    shortcut.emplace(*this, "shortcut", options.in, options.out, options.stride);
}

Var WideBlock::operator()(const Var& x) {
  const ErrorScope scope(*this);
  const Var hidden = dropout(bn_act_conv(bn1, conv1, x));
  return add(bn_act_conv(bn2, conv2, hidden), shortcut ? shortcut->conv(x) : x);
}

namespace {

constexpr int64_t kWidth = 16;

int64_t blocks_per_stage(const WideResNetOptions& options) {
  LATHE_CHECK(ConfigError, options.depth >= 10 && (options.depth - 4) % 6 == 0, "wrn28_10: depth ",
              options.depth, " is not 6 n + 4 (10, 16, 22, 28, ...)");
  return (options.depth - 4) / 6;
}

void fill_stage(ModuleList<WideBlock>& stage, int64_t blocks, WideBlock::Options options) {
  for (int64_t i = 0; i < blocks; ++i) {
    stage.emplace(options);
    options.in = options.out;
    options.stride = 1;
  }
}

}  // namespace

WideResNet::WideResNet(const WideResNetOptions& options, const RootOptions& root)
    : ImageModel(root),
      channels_(options.channels),
      conv1_(*this, "conv1", options.channels, kWidth, {.kernel = 3, .pad = 1, .bias = true}),
      layer1_(*this, "layer1"),
      layer2_(*this, "layer2"),
      layer3_(*this, "layer3"),
      bn1_(*this, "bn1", 4 * kWidth * options.widen, {.momentum = 0.9}),
      linear_(*this, "linear", 4 * kWidth * options.widen, options.classes) {
  const int64_t blocks = blocks_per_stage(options), width = kWidth * options.widen;
  fill_stage(layer1_, blocks, {kWidth, width, 1, options.dropout});
  fill_stage(layer2_, blocks, {width, 2 * width, 2, options.dropout});
  fill_stage(layer3_, blocks, {2 * width, 4 * width, 2, options.dropout});
}

Var WideResNet::logits(const Var& images) {
  expect_images(images, channels_);
  Var x = conv1_(images);
  for (ModuleList<WideBlock>* stage : {&layer1_, &layer2_, &layer3_}) {
    for (const auto& block : *stage) x = (*block)(x);
  }
  return linear_(pool_final_map(bn1_(x, {.relu = true}), 8, 4));
}

}  // namespace lathe
