#include "layers/model.h"

#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"

namespace lathe {
namespace {

const Tensor& only_input(const Model& model, const Batch& batch, const char* expected) {
  LATHE_CHECK(ShapeError, batch.inputs.size() == 1, model.type(), ": the batch has ", batch.inputs.size(),
              " inputs, expected one tensor of ", expected);
  return batch.inputs[0];
}

}  // namespace

Var ImageModel::forward(const Batch& batch) {
  const ErrorScope scope(*this);
  return logits(Var(only_input(*this, batch, "images").to(activation_dtype())));
}

void ImageModel::expect_images(const Var& images, int64_t channels) const {
  const Shape& shape = images.shape();
  LATHE_CHECK(ShapeError, shape.rank() == 4 && shape[3] == channels, type(), ": expected images (N, H, W, ",
              channels, "), found ", shape);
}

const Tensor& LanguageModel::tokens_of(const LanguageModel& model, const Batch& batch) {
  return only_input(model, batch, "token ids");
}

Var LanguageModel::forward(const Batch& batch) {
  const ErrorScope scope(*this);
  return logits(tokens_of(*this, batch));
}

Var LanguageModel::loss(const Tensor& tokens, const Tensor& targets) {
  const ErrorScope scope(*this);
  CrossEntropyOptions scored;
  scored.ignore_index = kUnscored;
  return cross_entropy(cast(logits(tokens), root_options().dtype), targets, scored);
}

Var LanguageModel::target_log_probabilities(const Tensor& tokens, const Tensor& targets) {
  const ErrorScope scope(*this);
  CrossEntropyOptions each;
  each.reduction = Reduction::None;
  each.ignore_index = kUnscored;
  return neg(cross_entropy(logits(tokens), targets, each));
}

Var LanguageModel::next_log_probabilities(const Tensor& tokens) {
  const ErrorScope scope(*this);
  const Var all = logits(tokens);
  const int64_t length = all.dim(1);
  return log_softmax(reshape(slice(all, 1, length - 1, length), {all.dim(0), all.dim(2)}));
}

void LanguageModel::expect_tokens(const Tensor& tokens) const {
  LATHE_CHECK(ShapeError, tokens.rank() == 2 && tokens.dim(1) > 0, type(),
              ": expected token ids (N, T), found ", tokens.shape());
  LATHE_CHECK(DTypeError, tokens.dtype() == DType::I64, type(), ": token ids are ", tokens.dtype(),
              ", expected i64");
  LATHE_CHECK(ShapeError, tokens.dim(1) <= context(), type(), ": a sequence of ", tokens.dim(1),
              " tokens, the option 'context' says at most ", context());
}

}  // namespace lathe
