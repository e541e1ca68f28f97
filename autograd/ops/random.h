#pragma once
// Regularisation noise. Nothing is stored: backward draws the same words again.

#include "autograd/var.h"
#include "core/philox.h"

namespace lathe {

/// x mask / (1 - p), mask element i kept iff philox.uniform(first + i) >= p. `first` is the index of this
/// tensor's first element in the step's whole batch. p = 0 returns x. ConfigError unless 0 <= p < 1.
Var dropout(const Var& x, double p, const Philox& philox, uint64_t first = 0);

/// Per sample (first axis): x / (1 - p) floor(1 - p + u), u = philox.uniform(first + sample).
Var drop_path(const Var& x, double p, const Philox& philox, uint64_t first = 0);

}  // namespace lathe
