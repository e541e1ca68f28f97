#pragma once
// A data set of tensors in memory, for programs that bring their own.

#include <string>

#include "data/dataset.h"

namespace lathe {

struct TensorSetOptions {
  std::string split = "train";
  int64_t classes = 0;  ///< of class indices; 0: targets are values
};

/// Sample i is row i of `input` and of `target`; nothing is augmented. Shares the tensors' storage, which
/// must stay as it is.
class TensorSet : public Dataset {
 public:
  /// input (n, ...) f32, target (n) i64 class indices or (n, ...) f32. ShapeError when the counts differ,
  /// DataError for a class outside [0, classes).
  TensorSet(Tensor input, Tensor target, const TensorSetOptions& options);

  int64_t size() const override { return input_.dim(0); }
  const DatasetInfo& info() const override { return info_; }
  Batch allocate(int64_t n) const override;
  void load(int64_t index, uint32_t epoch, Batch& batch, int64_t slot) const override;

 private:
  Tensor input_, target_;
  DatasetInfo info_;
};

}  // namespace lathe
