#pragma once
// The residual block of the deep ResNets (He et al. 2016, section 4.1), stride in its 3x3 convolution.

#include "models/basic_block.h"

namespace lathe {

/// relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + shortcut(x)): 1x1, 3x3 and 1x1 convolutions; the
/// first two have a quarter of the output's channels.
struct Bottleneck : Module {
  using Options = ResidualBlockOptions;
  static constexpr int64_t kExpansion = 4;

  /// ConfigError for Shortcut::PadChannels.
  Bottleneck(Module& parent, std::string name, const Options& options);
  const char* type() const override { return "Bottleneck"; }
  Var operator()(const Var& x);

  Conv2d conv1;
  BatchNorm bn1;
  Conv2d conv2;
  BatchNorm bn2;
  Conv2d conv3;
  BatchNorm bn3;
  std::optional<ProjectionShortcut> shortcut;
};

}  // namespace lathe
