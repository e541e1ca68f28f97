#pragma once
// Wide ResNet (Zagoruyko and Komodakis 2016) as DiffQ's CIFAR experiments use it
// (meliketoy/wide-resnet.pytorch): biased convolutions, the stride on the second one, a last batch norm with
// momentum 0.9.

#include <optional>

#include "core/fields.h"
#include "layers/blocks.h"
#include "layers/dropout.h"
#include "layers/linear.h"
#include "layers/model.h"

namespace lathe {

struct WideResNetOptions {
  int64_t classes = 10;
  int64_t channels = 3;
  int64_t depth = 28;
  int64_t widen = 10;
  double dropout = 0.3;

  void fields(FieldVisitor& v) {
    v.visit("classes", classes, {.doc = "number of classes", .min = 1});
    v.visit("channels", channels, {.doc = "channels of an image", .min = 1});
    v.visit("depth", depth, {.doc = "6 n + 4, with n blocks in each of three stages", .min = 10});
    v.visit("widen", widen, {.doc = "width factor of the stages' 16, 32 and 64 channels", .min = 1});
    v.visit("dropout", dropout,
            {.doc = "probability, between a block's convolutions", .min = 0, .max = 1, .below_max = true});
  }
};

/// 1x1 convolution "0" of the raw block input.
struct WideShortcut : Module {
  WideShortcut(Module& parent, std::string name, int64_t in, int64_t out, int64_t stride);
  const char* type() const override { return "WideShortcut"; }
  Conv2d conv;
};

/// conv2(relu(bn2(dropout(conv1(relu(bn1(x))))))) + shortcut(x)
struct WideBlock : Module {
  struct Options {
    int64_t in, out, stride;
    double dropout;
  };
  WideBlock(Module& parent, std::string name, const Options& options);
  const char* type() const override { return "WideBlock"; }
  Var operator()(const Var& x);

  BatchNorm bn1;
  Conv2d conv1;
  Dropout dropout;
  BatchNorm bn2;
  Conv2d conv2;
  std::optional<WideShortcut> shortcut;
};

/// Images of 29 to 32 pixels a side: the final map must be 8x8.
class WideResNet : public ImageModel {
 public:
  WideResNet(const WideResNetOptions& options, const RootOptions& root);
  const char* type() const override { return "WideResNet"; }
  Var logits(const Var& images) override;

 private:
  int64_t channels_;
  Conv2d conv1_;
  ModuleList<WideBlock> layer1_, layer2_, layer3_;
  BatchNorm bn1_;
  Linear linear_;
};

}  // namespace lathe
