#include "data/tensor_set.h"

#include <cstring>

#include "core/error.h"

namespace lathe {
namespace {

void copy_row(Tensor& to, int64_t slot, const Tensor& from, int64_t index) {
  const size_t bytes = from.bytes() / static_cast<size_t>(from.dim(0));
  std::memcpy(to.raw_mut() + static_cast<size_t>(slot) * bytes,
              from.raw() + static_cast<size_t>(index) * bytes, bytes);
}

}  // namespace

TensorSet::TensorSet(Tensor input, Tensor target, const TensorSetOptions& options)
    : input_(std::move(input)), target_(std::move(target)) {
  LATHE_CHECK(ShapeError, input_.rank() > 0 && target_.rank() > 0 && input_.dim(0) == target_.dim(0),
              "tensor set: input is ", input_.shape(), ", target is ", target_.shape());
  if (options.classes > 0) {
    for (const int64_t label : target_.span<int64_t>()) {
      LATHE_CHECK(DataError, label >= 0 && label < options.classes, "tensor set: class ", label,
                  " is outside [0, ", options.classes, ")");
    }
  }
  info_.type = "tensors";
  info_.split = options.split;
  info_.task = options.classes > 0 ? DataTask::Classification : DataTask::Regression;
  info_.sample = Shape(input_.shape().dims().subspan(1));
  info_.classes = options.classes;
}

Batch TensorSet::allocate(int64_t n) const {
  return {
      {input_.empty_like(input_.shape().with(0, n))}, {target_.empty_like(target_.shape().with(0, n))}, n};
}

void TensorSet::load(int64_t index, uint32_t, Batch& batch, int64_t slot) const {
  copy_row(batch.inputs[0], slot, input_, index);
  copy_row(batch.targets[0], slot, target_, index);
}

}  // namespace lathe
