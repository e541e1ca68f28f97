#pragma once
// LeNet-5 (LeCun et al. 1998) with relu and max pooling.

#include "core/fields.h"
#include "layers/conv.h"
#include "layers/linear.h"
#include "layers/model.h"

namespace lathe {

struct LeNetOptions {
  int64_t classes = 10;
  int64_t channels = 1;
  int64_t image = 28;

  void fields(FieldVisitor& v) {
    v.visit("classes", classes, {.doc = "number of classes", .min = 1});
    v.visit("channels", channels, {.doc = "channels of an image", .min = 1});
    v.visit("image", image, {.doc = "height and width of an image", .min = 12});
  }
};

/// Two 5x5 convolutions of 6 (padded by 2) and 16 channels, each with relu and 2x2 max pooling; then linear
/// layers of 120, 84 and `classes` units on the map flattened channels first.
class LeNet : public ImageModel {
 public:
  LeNet(const LeNetOptions& options, const RootOptions& root);
  const char* type() const override { return "LeNet"; }
  Var logits(const Var& images) override;

 private:
  LeNetOptions options_;
  Conv2d conv1_, conv2_;
  Linear fc1_, fc2_, fc3_;
};

}  // namespace lathe
