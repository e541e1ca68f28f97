#pragma once
// A plain perceptron on flattened images.

#include "core/fields.h"
#include "layers/linear.h"
#include "layers/model.h"

namespace lathe {

struct MlpOptions {
  int64_t classes = 10;
  std::vector<int64_t> input = {28, 28, 1};
  std::vector<int64_t> hidden = {300, 100};

  void fields(FieldVisitor& v) {
    v.visit("classes", classes, {.doc = "number of classes", .min = 1});
    v.visit("input", input, {.doc = "height, width and channels of an image", .min = 1});
    v.visit("hidden", hidden, {.doc = "units of each hidden layer; empty: a linear classifier", .min = 1});
  }
};

/// linear(relu(layers.1(relu(layers.0(x))))), pixels flattened channels first.
class Mlp : public ImageModel {
 public:
  Mlp(const MlpOptions& options, const RootOptions& root);
  const char* type() const override { return "Mlp"; }
  Var logits(const Var& images) override;

 private:
  std::vector<int64_t> input_;
  ModuleList<Linear> layers_;
  Linear linear_;
};

}  // namespace lathe
