#pragma once
// MobileNetV1 (Howard et al. 2017) for CIFAR: a stem without stride (kuangliu/pytorch-cifar).


#include "core/fields.h"
#include "layers/blocks.h"
#include "layers/linear.h"
#include "layers/model.h"

namespace lathe {

struct MobileNetV1CifarOptions {
  int64_t classes = 10;
  int64_t channels = 3;

  void fields(FieldVisitor& v) {
    v.visit("classes", classes, {.doc = "number of classes", .min = 1});
    v.visit("channels", channels, {.doc = "channels of an image", .min = 1});
  }
};

/// Depthwise 3x3 with the stride, then pointwise, each with batch norm and relu.
struct SeparableBlock : Module {
  SeparableBlock(Module& parent, std::string name, int64_t in, int64_t out, int64_t stride);
  const char* type() const override { return "SeparableBlock"; }

  Conv2d conv1;
  BatchNorm bn1;
  Conv2d conv2;
  BatchNorm bn2;
};

/// Images of 17 to 32 pixels a side: the final map must be 2x2.
class MobileNetV1Cifar : public ImageModel {
 public:
  MobileNetV1Cifar(const MobileNetV1CifarOptions& options, const RootOptions& root);
  const char* type() const override { return "MobileNetV1Cifar"; }
  Var logits(const Var& images) override;

 private:
  int64_t channels_;
  Conv2d conv1_;
  BatchNorm bn1_;
  ModuleList<SeparableBlock> layers_;
  Linear linear_;
};

}  // namespace lathe
