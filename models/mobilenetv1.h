#pragma once
// MobileNetV1 (Howard et al. 2017) for ImageNet, as timm builds it.

#include "core/fields.h"
#include "layers/blocks.h"
#include "layers/dropout.h"
#include "layers/linear.h"
#include "layers/model.h"

namespace lathe {

struct MobileNetV1Options {
  int64_t classes = 1000;
  int64_t channels = 3;
  double width_multiplier = 1;
  double dropout = 0;

  void fields(FieldVisitor& v) {
    v.visit("classes", classes, {.doc = "number of classes", .min = 1});
    v.visit("channels", channels, {.doc = "channels of an image", .min = 1});
    v.visit("width_multiplier", width_multiplier,
            {.doc = "of all channels, rounded to multiples of 8", .min = 0, .above_min = true});
    v.visit("dropout", dropout,
            {.doc = "dropout before the classifier", .min = 0, .max = 1, .below_max = true});
  }
};

/// relu6(bn2(conv_pw(relu6(bn1(conv_dw(x))))))
struct MobileNetV1Block : Module {
  MobileNetV1Block(Module& parent, std::string name, int64_t in, int64_t out, int64_t stride);
  const char* type() const override { return "MobileNetV1Block"; }
  Var operator()(const Var& x);

  Conv2d conv_dw;
  BatchNorm bn1;
  Conv2d conv_pw;
  BatchNorm bn2;
};

/// A 3x3 stem of stride 2, 13 separable blocks in five stages, a global mean; any image size. Convolutions
/// start from N(0, 2 / fan_out), the classifier from U(+-1 / sqrt(classes)).
class MobileNetV1 : public ImageModel {
 public:
  MobileNetV1(const MobileNetV1Options& options, const RootOptions& root);
  const char* type() const override { return "MobileNetV1"; }
  Var logits(const Var& images) override;

 private:
  int64_t channels_;
  Conv2d conv_stem_;
  BatchNorm bn1_;
  ModuleList<ModuleList<MobileNetV1Block>> blocks_;
  Dropout drop_;
  Linear classifier_;
};

}  // namespace lathe
