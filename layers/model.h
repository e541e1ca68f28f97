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
  /// False where the host decides in a training step, by values or by chance: such steps are launched op by
  /// op on a device.
  virtual bool steady() const { return true; }
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
/// that follows it. A model whose vocabulary is too large for that computes what is asked for otherwise.
class LanguageModel : public Model {
 public:
  using Model::Model;
  /// logits() of batch.inputs[0], unless a model says otherwise.
  Var forward(const Batch& batch) override;
  DType input_dtype() const final { return DType::I64; }

  virtual int64_t vocabulary() const = 0;
  virtual int64_t context() const = 0;  ///< most tokens of a sequence
  /// The token that stands for no token, -1 where there is none.
  virtual int64_t padding() const { return -1; }

  virtual Var logits(const Tensor& tokens) = 0;
  /// Mean cross entropy of targets (N, T) in nats, in the parameters' type; kUnscored ones do not count.
  virtual Var loss(const Tensor& tokens, const Tensor& targets);
  /// (N, T): the logarithm of each target's probability; 0 where it is kUnscored.
  virtual Var target_log_probabilities(const Tensor& tokens, const Tensor& targets);
  /// (N, vocabulary): logarithms of the probabilities of what follows each sequence.
  virtual Var next_log_probabilities(const Tensor& tokens);

 protected:
  /// ShapeError unless tokens is (N, T) with T at most context(), DTypeError unless it is i64.
  void expect_tokens(const Tensor& tokens) const;
  static const Tensor& tokens_of(const LanguageModel& model, const Batch& batch);
};

}  // namespace lathe
