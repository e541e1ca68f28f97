#pragma once
// What training minimises, by name.

#include <memory>

#include "autograd/var.h"
#include "core/batch.h"
#include "core/registry.h"

namespace lathe {

/// Mean over a batch's samples. Targets are batch.targets[0]: class indices (size) i64, probabilities
/// (size, classes), or values of the output's shape.
class Loss {
 public:
  virtual ~Loss() = default;
  virtual Var operator()(const Var& output, const Batch& batch) const = 0;
  /// Cross entropy of classes and nothing else: what models with a softmax of their own compute themselves.
  virtual bool plain_cross_entropy() const { return false; }
  /// Least where the output equals the targets, whatever values these have: l1 and mse.
  virtual bool distance() const { return false; }
  /// What evaluation reports: the same without regularising terms such as label smoothing.
  virtual Var plain(const Var& output, const Batch& batch) const { return (*this)(output, batch); }
};

using LossRegistry = Registry<std::unique_ptr<Loss>>;
/// cross_entropy soft_cross_entropy l1 mse bce
const LossRegistry& loss_registry();

/// Class indices (n) i64 as rows of 0 and 1 in `dtype`. DataError for an index outside [0, classes).
Tensor one_hot(const Tensor& classes_of_samples, int64_t classes, DType dtype);

}  // namespace lathe
