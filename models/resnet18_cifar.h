#pragma once
// ResNet-18 for CIFAR: the ImageNet stages behind a 3x3 stem without pooling (kuangliu/pytorch-cifar).

#include "core/fields.h"
#include "layers/linear.h"
#include "layers/model.h"
#include "models/basic_block.h"

namespace lathe {

struct ResNet18CifarOptions {
  int64_t classes = 10;
  int64_t channels = 3;
  std::vector<int64_t> blocks = {2, 2, 2, 2};
  int64_t width = 64;

  void fields(FieldVisitor& v) {
    v.visit("classes", classes, {.doc = "number of classes", .min = 1});
    v.visit("channels", channels, {.doc = "channels of an image", .min = 1});
    v.visit("blocks", blocks, {.doc = "residual blocks of each of the four stages", .min = 1});
    v.visit("width", width,
            {.doc = "channels of the first stage; each further stage doubles them", .min = 1});
  }
};

/// Images of 25 to 32 pixels a side: the final map must be 4x4.
class ResNet18Cifar : public ImageModel {
 public:
  ResNet18Cifar(const ResNet18CifarOptions& options, const RootOptions& root);
  const char* type() const override { return "ResNet18Cifar"; }
  Var logits(const Var& images) override;

 private:
  int64_t channels_;
  Conv2d conv1_;
  BatchNorm bn1_;
  BasicStages stages_;
  Linear linear_;
};

}  // namespace lathe
