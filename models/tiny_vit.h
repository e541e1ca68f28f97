#pragma once
// TinyViT (Wu et al. 2022) as timm builds it: convolutions first, then attention in windows.

#include "core/fields.h"
#include "layers/model.h"
#include "models/tiny_vit_blocks.h"

namespace lathe {

/// The defaults are TinyViT-5M's.
struct TinyVitOptions {
  int64_t classes = 1000;
  int64_t channels = 3;
  int64_t image = 224;
  std::vector<int64_t> widths = {64, 128, 160, 320};
  std::vector<int64_t> blocks = {2, 2, 6, 2};
  std::vector<int64_t> heads = {4, 5, 10};
  std::vector<int64_t> windows = {7, 14, 7};
  double drop_path = 0;

  void fields(FieldVisitor& v) {
    v.visit("classes", classes, {.doc = "number of classes", .min = 1});
    v.visit("channels", channels, {.doc = "channels of an image", .min = 1});
    v.visit("image", image, {.doc = "height and width of an image", .min = 1});
    v.visit("widths", widths, {.doc = "channels of each stage", .min = 2});
    v.visit("blocks", blocks,
            {.doc = "blocks of each stage: of the first convolutions, of the others attention", .min = 1});
    v.visit("heads", heads,
            {.doc = "attention heads of each stage but the first; they divide its width", .min = 1});
    v.visit("windows", windows,
            {.doc = "height and width of the attention windows of each stage but the first", .min = 1});
    v.visit("drop_path", drop_path,
            {.doc = "probability that the last block's branches are dropped; it grows from 0 at the first",
             .min = 0,
             .max = 1,
             .below_max = true});
  }
};

/// Square images of exactly `image` pixels a side; maps that are no multiple of a window are padded with
/// zeros, which attention sees.
class TinyVit : public ImageModel {
 public:
  TinyVit(const TinyVitOptions& options, const RootOptions& root);
  const char* type() const override { return "TinyVit"; }
  Var logits(const Var& images) override;

 private:
  struct PatchEmbedding : Module {
    PatchEmbedding(Module& parent, std::string name, int64_t channels, int64_t width);
    ConvBnUnit conv1, conv2;
  };
  struct ConvStage : Module {
    ConvStage(Module& parent, std::string name) : Module(parent, std::move(name)), blocks(*this, "blocks") {}
    ModuleList<MbConv> blocks;
  };
  struct AttentionStage : Module {
    AttentionStage(Module& parent, std::string name, int64_t in, int64_t out)
        : Module(parent, std::move(name)),
          downsample(*this, "downsample", in, out),
          blocks(*this, "blocks") {}
    PatchMerging downsample;
    ModuleList<TinyVitBlock> blocks;
  };

  TinyVitOptions options_;
  PatchEmbedding patch_embed_;
  Module stages_;
  ConvStage first_;
  std::vector<std::unique_ptr<AttentionStage>> rest_;
  Module head_;
  LayerNorm norm_;
  Linear fc_;
};

}  // namespace lathe
