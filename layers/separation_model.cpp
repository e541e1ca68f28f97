#include "layers/separation_model.h"

#include "autograd/ops/shape.h"

namespace lathe {

Var SeparationModel::forward(const Batch& batch) {
  const ErrorScope scope(*this);
  LATHE_CHECK(ShapeError, !batch.inputs.empty(), type(), ": the batch has no mixtures");
  return separate(Var(batch.inputs[0].to(activation_dtype())));
}

void SeparationModel::expect_mixture(const Var& mixture) const {
  LATHE_CHECK(ShapeError, mixture.shape().rank() == 3 && mixture.dim(2) == channels(), type(),
              ": expected sound (N, T, ", channels(), "), found ", mixture.shape());
}

ValidLengths valid_lengths_about(const SeparationModel& model, int64_t length) {
  int64_t fits = 1, exceeds = length + 1;  // outputs whose valid lengths are at most, and more than `length`
  LATHE_CHECK(ShapeError, model.valid_length(fits) <= length, model.type(), ": ", length,
              " samples are too short, expected at least ", model.valid_length(fits));
  while (exceeds - fits > 1) {
    const int64_t middle = fits + (exceeds - fits) / 2;
    (model.valid_length(middle) <= length ? fits : exceeds) = middle;
  }
  return {model.valid_length(fits), model.valid_length(exceeds)};
}

Var center_trim(const Var& x, int axis, int64_t length) {
  const int64_t extra = x.dim(axis) - length;
  LATHE_CHECK(ShapeError, extra >= 0, "center_trim: ", length, " samples of ", x.dim(axis));
  return extra == 0 ? x : slice(x, axis, extra / 2, extra / 2 + length);
}

}  // namespace lathe
