#include "layers/model.h"

namespace lathe {

Var ImageModel::forward(const Batch& batch) {
  const ErrorScope scope(*this);
  LATHE_CHECK(ShapeError, batch.inputs.size() == 1, type(), ": the batch has ", batch.inputs.size(),
              " inputs, expected one tensor of images");
  return logits(Var(batch.inputs[0].to(activation_dtype())));
}

void ImageModel::expect_images(const Var& images, int64_t channels) const {
  const Shape& shape = images.shape();
  LATHE_CHECK(ShapeError, shape.rank() == 4 && shape[3] == channels, type(), ": expected images (N, H, W, ",
              channels, "), found ", shape);
}

}  // namespace lathe
