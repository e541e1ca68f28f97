#pragma once
#include "autograd/var.h"
#include "core/batch.h"
#include "layers/module.h"

namespace lathe {

/// The root of a module tree that maps a batch to an output (logits, samples, ...).
class Model : public Module {
 public:
  explicit Model(const RootOptions& options) : Module(options) {}
  virtual Var forward(const Batch& batch) = 0;
  /// What given weights for `parameter`, of another shape in PyTorch's layout, become: positions of another
  /// image size are resampled. Undefined where nothing sensible is.
  virtual Tensor fitted(const Parameter&, const Tensor&) const { return {}; }
  /// Element type of batch.inputs[0], for dry runs.
  virtual DType input_dtype() const { return DType::F32; }
};

/// A model of images: (N, H, W, C) to logits (N, classes).
class ImageModel : public Model {
 public:
  using Model::Model;
  /// Of batch.inputs[0], converted to the model's element type.
  Var forward(const Batch& batch) final;
  /// For callers that hold a Var, to ask for the gradient of the image for instance.
  virtual Var logits(const Var& images) = 0;

 protected:
  /// ShapeError unless images is (N, H, W, channels).
  void expect_images(const Var& images, int64_t channels) const;
};

/// A model of sequences of token ids: (N, T) i64 to logits (N, T, vocabulary), at each position of the token
/// that follows it.
class LanguageModel : public Model {
 public:
  using Model::Model;
  /// Of batch.inputs[0].
  Var forward(const Batch& batch) final;
  DType input_dtype() const final { return DType::I64; }
  virtual Var logits(const Tensor& tokens) = 0;

 protected:
  /// ShapeError unless tokens is (N, T), DTypeError unless it is i64.
  void expect_tokens(const Tensor& tokens) const;
};

}  // namespace lathe
