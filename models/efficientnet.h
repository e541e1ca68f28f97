#pragma once
// EfficientNet (Tan and Le 2019) as timm builds it: symmetric padding, batch norms with eps 1e-5.

#include <string>
#include <vector>

#include "core/fields.h"
#include "layers/model.h"
#include "models/efficientnet_blocks.h"

namespace lathe {

/// The defaults are EfficientNet-B3's.
struct EfficientNetOptions {
  int64_t classes = 1000;
  int64_t channels = 3;
  int64_t stem = 32;
  int64_t head = 1280;
  std::vector<std::string> stages = {"ds_r1_k3_s1_e1_c16_se0.25",  "ir_r2_k3_s2_e6_c24_se0.25",
                                     "ir_r2_k5_s2_e6_c40_se0.25",  "ir_r3_k3_s2_e6_c80_se0.25",
                                     "ir_r3_k5_s1_e6_c112_se0.25", "ir_r4_k5_s2_e6_c192_se0.25",
                                     "ir_r1_k3_s1_e6_c320_se0.25"};
  double width_multiplier = 1.2;
  double depth_multiplier = 1.4;
  double dropout = 0.3;
  double drop_path = 0.2;

  void fields(FieldVisitor& v) {
    v.visit("classes", classes, {.doc = "number of classes", .min = 1});
    v.visit("channels", channels, {.doc = "channels of an image", .min = 1});
    v.visit("stem", stem, {.doc = "channels of the first convolution, before the multiplier", .min = 1});
    v.visit("head", head, {.doc = "channels of the last convolution, before the multiplier", .min = 1});
    v.visit(
        "stages", stages,
        {.doc = "a string each, \"ir_r2_k3_s2_e6_c24_se0.25\": inverted residuals (ds: depthwise separable), "
                "repeats, kernel, first stride, expansion, channels, squeeze ratio"});
    v.visit("width_multiplier", width_multiplier,
            {.doc = "of all channels, rounded to multiples of 8", .min = 0, .above_min = true});
    v.visit("depth_multiplier", depth_multiplier,
            {.doc = "of all repeats, rounded up", .min = 0, .above_min = true});
    v.visit("dropout", dropout,
            {.doc = "dropout before the classifier", .min = 0, .max = 1, .below_max = true});
    v.visit("drop_path", drop_path,
            {.doc = "probability that a residual branch is dropped, in proportion to the block's place",
             .min = 0,
             .max = 1,
             .below_max = true});
  }
};

/// Any image size. Convolutions start from N(0, 2 / fan_out), the classifier from U(+-1 / sqrt(classes)).
class EfficientNet : public ImageModel {
 public:
  EfficientNet(const EfficientNetOptions& options, const RootOptions& root);
  const char* type() const override { return "EfficientNet"; }
  Var logits(const Var& images) override;

 private:
  /// Blocks "0", "1", ... of a stage.
  struct Stage : Module {
    using Module::Module;
    std::vector<std::unique_ptr<EfficientNetBlock>> blocks;
  };

  /// Fills blocks_; returns the channels of the last one.
  int64_t build(const EfficientNetOptions& options);

  int64_t channels_, stem_width_, head_width_;
  Conv2d conv_stem_;
  BatchNorm bn1_;
  ModuleList<Stage> blocks_;
  int64_t last_width_;
  Conv2d conv_head_;
  BatchNorm bn2_;
  Dropout drop_;
  Linear classifier_;
};

}  // namespace lathe
