#pragma once
// A vision transformer for CIFAR (Dosovitskiy et al. 2021, in the form that DiffQ's experiments train).

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "core/fields.h"
#include "layers/model.h"
#include "layers/transformer.h"

namespace lathe {

struct VitCifarOptions {
  int64_t classes = 10;
  int64_t channels = 3;
  int64_t image = 32;
  int64_t patch = 4;
  int64_t width = 512;
  int64_t depth = 6;
  int64_t heads = 8;
  int64_t mlp = 512;
  double dropout = 0.1;
  double embedding_dropout = 0.1;

  void fields(FieldVisitor& v) {
    v.visit("classes", classes, {.doc = "number of classes", .min = 1});
    v.visit("channels", channels, {.doc = "channels of an image", .min = 1});
    v.visit("image", image, {.doc = "height and width of an image, a multiple of 'patch'", .min = 1});
    v.visit("patch", patch, {.doc = "height and width of a patch", .min = 1});
    v.visit("width", width, {.doc = "numbers per token", .min = 1});
    v.visit("depth", depth, {.doc = "transformer blocks", .min = 1});
    v.visit("heads", heads, {.doc = "attention heads; they divide 'width'", .min = 1});
    v.visit("mlp", mlp, {.doc = "hidden units of a block and of the classifier", .min = 1});
    v.visit("dropout", dropout, {.doc = "dropout of hidden units and branches", .min = 0, .max = 1});
    v.visit("embedding_dropout", embedding_dropout,
            {.doc = "dropout of the embedded tokens", .min = 0, .max = 1});
  }
};

/// Attention behind its norm, "0" of a block: x + drop(attention(norm(x))).
struct VitCifarAttention : Module {
  VitCifarAttention(Module& parent, std::string name, const VitCifarOptions& options);
  Var operator()(const Var& x) { return add(x, drop(attention(norm(x)))); }

  Module fn;
  LayerNorm norm;
  SelfAttention attention;
  Dropout drop;
};

/// The perceptron behind its norm, "1" of a block.
struct VitCifarMlp : Module {
  VitCifarMlp(Module& parent, std::string name, const VitCifarOptions& options);
  Var operator()(const Var& x) { return add(x, drop(net(norm(x)))); }

  Module fn;
  LayerNorm norm;
  Module inner;  ///< "fn.fn"
  FeedForward net;
  Dropout drop;
};

struct VitCifarBlock : Module {
  VitCifarBlock(Module& parent, std::string name, const VitCifarOptions& options)
      : Module(parent, std::move(name)), attention(*this, "0", options), mlp(*this, "1", options) {}
  const char* type() const override { return "VitCifarBlock"; }
  Var operator()(const Var& x) { return mlp(attention(x)); }

  VitCifarAttention attention;
  VitCifarMlp mlp;
};

/// Norm "0", linear "1", gelu, linear "4".
struct VitCifarHead : Module {
  VitCifarHead(Module& parent, std::string name, const VitCifarOptions& options);
  const char* type() const override { return "VitCifarHead"; }
  Var operator()(const Var& x) { return out(drop(gelu(hidden(norm(x))))); }

  LayerNorm norm;
  Linear hidden;
  Dropout drop;
  Linear out;
};

/// Scores are scaled by 1 / sqrt(width), not by the head's dimension, and no norm follows the last block but
/// the classifier's. Square images of exactly `image` pixels a side.
class VitCifar : public ImageModel {
 public:
  VitCifar(const VitCifarOptions& options, const RootOptions& root);
  const char* type() const override { return "VitCifar"; }
  Var logits(const Var& images) override;
  /// Positions of another image size, resampled.
  Tensor fitted(const Parameter& parameter, const Tensor& given) const override;

 private:
  Var patches(const Var& images) const;

  VitCifarOptions options_;
  Parameter pos_embedding_, cls_token_;
  Linear patch_to_embedding_;
  Dropout dropout_;
  Module transformer_;
  ModuleList<VitCifarBlock> layers_;
  VitCifarHead head_;
};

}  // namespace lathe
