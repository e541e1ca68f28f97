#pragma once
// The residual block of two 3x3 convolutions (He et al. 2016, section 3.3).

#include <optional>

#include "layers/blocks.h"
#include "models/residual_stages.h"

namespace lathe {

/// What stands beside the two convolutions where the shape changes; elsewhere the shortcut is the identity.
enum class Shortcut : uint8_t {
  PadChannels,  ///< option A: every stride-th pixel, zero channels; no parameters
  Projection,   ///< option B: a strided 1x1 convolution and a batch norm
};

/// Of a residual block, basic or bottleneck.
struct ResidualBlockOptions {
  int64_t in = 0, out = 0, stride = 1;
  Shortcut shortcut = Shortcut::Projection;
  Initializer conv_init = {};
  const char* shortcut_name = "shortcut";
};

/// 1x1 convolution "0" and batch norm "1".
struct ProjectionShortcut : Module {
  ProjectionShortcut(Module& parent, std::string name, const ResidualBlockOptions& options);
  const char* type() const override { return "ProjectionShortcut"; }
  Var operator()(const Var& x) { return conv_bn_act({conv, bn}, x, {}); }

  Conv2d conv;
  BatchNorm bn;
};

/// relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)); the stride is conv1's.
struct BasicBlock : Module {
  using Options = ResidualBlockOptions;
  static constexpr int64_t kExpansion = 1;  ///< output channels per channel of the 3x3 convolutions

  BasicBlock(Module& parent, std::string name, const ResidualBlockOptions& options);
  const char* type() const override { return "BasicBlock"; }
  Var operator()(const Var& x);

  Conv2d conv1;
  BatchNorm bn1;
  Conv2d conv2;
  BatchNorm bn2;
  std::optional<ProjectionShortcut> shortcut;

 private:
  int64_t out_, stride_;
  bool pad_channels_ = false;
};

using BasicStages = ResidualStages<BasicBlock>;

}  // namespace lathe
