#pragma once
// ResNets for images of ImageNet's size (He et al. 2016, table 1), as torchvision builds them.

#include "core/fields.h"
#include "layers/linear.h"
#include "layers/model.h"
#include "models/bottleneck.h"

namespace lathe {

struct ResNetOptions {
  int64_t classes = 1000;
  int64_t channels = 3;
  std::vector<int64_t> blocks = {2, 2, 2, 2};
  int64_t width = 64;

  void fields(FieldVisitor& v) {
    v.visit("classes", classes, {.doc = "number of classes", .min = 1});
    v.visit("channels", channels, {.doc = "channels of an image", .min = 1});
    v.visit("blocks", blocks, {.doc = "residual blocks of each stage", .min = 1});
    v.visit("width", width,
            {.doc = "channels of the stem and of the first stage's 3x3 convolutions; each further stage "
                    "doubles them",
             .min = 1});
  }
};

/// A 7x7 stem and a pool, both of stride 2, before the stages; any image size. Block is BasicBlock
/// (ResNet-18) or Bottleneck (ResNet-50). Convolutions start from N(0, 2 / fan_out).
template <class Block>
class ResNet : public ImageModel {
 public:
  ResNet(const ResNetOptions& options, const RootOptions& root);
  const char* type() const override { return "ResNet"; }
  Var logits(const Var& images) override;

 private:
  int64_t channels_;
  Conv2d conv1_;
  BatchNorm bn1_;
  ResidualStages<Block> stages_;
  Linear fc_;
};

extern template class ResNet<BasicBlock>;
extern template class ResNet<Bottleneck>;

}  // namespace lathe
