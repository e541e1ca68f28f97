#pragma once
// ResNet-20/32/44/56 for CIFAR (He et al. 2016, section 4.2, with option-A shortcuts).

#include "core/fields.h"
#include "layers/linear.h"
#include "layers/model.h"
#include "models/basic_block.h"

namespace lathe {

struct ResNet20Options {
  int64_t classes = 10;
  int64_t channels = 3;
  std::vector<int64_t> blocks = {3, 3, 3};
  int64_t width = 16;
  std::string shortcut = "A";

  void fields(FieldVisitor& v) {
    v.visit("classes", classes, {.doc = "number of classes", .min = 1});
    v.visit("channels", channels, {.doc = "channels of an image", .min = 1});
    v.visit("blocks", blocks, {.doc = "residual blocks of each stage", .min = 1});
    v.visit("width", width,
            {.doc = "channels of the first stage; each further stage doubles them", .min = 1});
    v.visit("shortcut", shortcut,
            {.doc = "where shapes change: A pads with zero channels, B projects", .choices = {"A", "B"}});
  }
};

/// Any image size. Convolutions and classifier start from N(0, 2 / fan_in).
class ResNet20 : public ImageModel {
 public:
  ResNet20(const ResNet20Options& options, const RootOptions& root);
  const char* type() const override { return "ResNet20"; }
  Var logits(const Var& images) override;

 private:
  int64_t channels_;
  Conv2d conv1_;
  BatchNorm bn1_;
  BasicStages stages_;
  Linear linear_;
};

}  // namespace lathe
