#pragma once
// Vision transformers (Dosovitskiy et al. 2021) and DeiT (Touvron et al. 2021), as timm builds them.

#include <optional>
#include <utility>

#include "core/fields.h"
#include "layers/conv.h"
#include "layers/model.h"
#include "layers/transformer.h"

namespace lathe {

struct VisionTransformerOptions {
  int64_t classes = 1000;
  int64_t channels = 3;
  int64_t image = 224;
  int64_t patch = 16;
  int64_t width = 192;
  int64_t depth = 12;
  int64_t heads = 3;
  double mlp_ratio = 4;
  double dropout = 0;
  double drop_path = 0;
  bool distilled = false;

  void fields(FieldVisitor& v) {
    v.visit("classes", classes, {.doc = "number of classes", .min = 1});
    v.visit("channels", channels, {.doc = "channels of an image", .min = 1});
    v.visit("image", image, {.doc = "height and width of an image, a multiple of 'patch'", .min = 1});
    v.visit("patch", patch, {.doc = "height and width of a patch", .min = 1});
    v.visit("width", width, {.doc = "numbers per token", .min = 1});
    v.visit("depth", depth, {.doc = "transformer blocks", .min = 1});
    v.visit("heads", heads, {.doc = "attention heads; they divide 'width'", .min = 1});
    v.visit("mlp_ratio", mlp_ratio, {.doc = "hidden units of a block per unit of 'width'", .min = 0});
    v.visit("dropout", dropout,
            {.doc = "dropout of the embedded tokens, hidden units and branches", .min = 0, .max = 1});
    v.visit("drop_path", drop_path,
            {.doc = "probability that the last block's branches are dropped; it grows from 0 at the first",
             .min = 0,
             .max = 1});
    v.visit("distilled", distilled, {.doc = "a second token and head, for a teacher's labels"});
  }
};

/// Square images of exactly `image` pixels a side. Linear weights, tokens and positions start from a
/// truncated N(0, 0.02^2), linear biases from 0.
class VisionTransformer : public ImageModel {
 public:
  VisionTransformer(const VisionTransformerOptions& options, const RootOptions& root);
  const char* type() const override { return "VisionTransformer"; }
  /// Of a distilled model the mean of both heads.
  Var logits(const Var& images) override;
  /// Positions of another image size, resampled.
  Tensor fitted(const Parameter& parameter, const Tensor& given) const override;
  /// Logits of the class token and of the distillation token, for a loss with a teacher; the second is
  /// undefined unless distilled.
  std::pair<Var, Var> heads(const Var& images);

 private:
  Var embed(const Var& images);

  VisionTransformerOptions options_;
  Parameter cls_token_, pos_embed_;
  std::optional<Parameter> dist_token_;
  Dropout pos_drop_;
  Module patch_embed_;
  Conv2d proj_;
  ModuleList<TransformerBlock> blocks_;
  LayerNorm norm_;
  Linear head_;
  std::optional<Linear> head_dist_;
};

}  // namespace lathe
