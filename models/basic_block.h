#pragma once
// The residual block of the CIFAR ResNets (He et al. 2016, section 3.3).

#include <optional>

#include "layers/blocks.h"

namespace lathe {

/// What stands beside the two convolutions where the shape changes; elsewhere the shortcut is the identity.
enum class Shortcut : uint8_t {
  PadChannels,  ///< option A: every stride-th pixel, zero channels; no parameters
  Projection,   ///< option B: a strided 1x1 convolution and a batch norm
};

struct BasicBlockOptions {
  int64_t in = 0, out = 0, stride = 1;
  Shortcut shortcut = Shortcut::Projection;
  Initializer conv_init = {};
};

/// 1x1 convolution "0" and batch norm "1".
struct ProjectionShortcut : Module {
  ProjectionShortcut(Module& parent, std::string name, const BasicBlockOptions& options);
  const char* type() const override { return "ProjectionShortcut"; }
  Var operator()(const Var& x) { return conv_bn_act({conv, bn}, x, {}); }

  Conv2d conv;
  BatchNorm bn;
};

/// relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)); the stride is conv1's.
struct BasicBlock : Module {
  BasicBlock(Module& parent, std::string name, const BasicBlockOptions& options);
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

/// Stages "layer1", "layer2", ...: stage i has blocks[i] blocks of width 2^i `width` and, from the second on,
/// begins with stride 2. The fields of `block` other than in, out and stride hold for every block.
class BasicStages {
 public:
  BasicStages(Module& parent, const std::vector<int64_t>& blocks, int64_t width, BasicBlockOptions block);
  Var operator()(const Var& x);
  int64_t out_channels() const { return out_; }

 private:
  std::vector<std::unique_ptr<ModuleList<BasicBlock>>> stages_;
  int64_t out_;
};

}  // namespace lathe
