#include "layers/model.h"

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

Var LanguageModel::forward(const Batch& batch) {
  const ErrorScope scope(*this);
  return logits(only_input(*this, batch, "token ids"));
}

void LanguageModel::expect_tokens(const Tensor& tokens) const {
  LATHE_CHECK(ShapeError, tokens.rank() == 2, type(), ": expected token ids (N, T), found ", tokens.shape());
  LATHE_CHECK(DTypeError, tokens.dtype() == DType::I64, type(), ": token ids are ", tokens.dtype(),
              ", expected i64");
}

}  // namespace lathe
