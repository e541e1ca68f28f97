#pragma once
// Reductions over all or some axes. Sums run over fixed chunks in a fixed order: the same bits for any thread
// count.

#include <vector>

#include "autograd/var.h"

namespace lathe {

struct ReduceOptions {
  std::vector<int> axes;  ///< empty: all axes; negative counts from the end
  bool keepdim = false;
};

Var sum(const Var& x, const ReduceOptions& options = {});
Var mean(const Var& x, const ReduceOptions& options = {});

struct VarianceOptions {
  std::vector<int> axes;
  bool keepdim = false;
  bool unbiased = true;  ///< divide by n - 1
};
Var variance(const Var& x, const VarianceOptions& options = {});
Var standard_deviation(const Var& x, const VarianceOptions& options = {});

}  // namespace lathe
