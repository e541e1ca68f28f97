#pragma once
// Analytic against numeric gradients, in float64.

#include <functional>
#include <string>
#include <vector>

#include "autograd/var.h"

namespace lathe {

struct GradcheckOptions {
  double step = 1e-6;       ///< central difference: h = step * max(1, |x|)
  double tolerance = 1e-6;  ///< on |a - n| / max(1, |a|, |n|)
  /// Elements whose value lies within `kink_window` of one of `kinks` are not probed (relu at 0, clamp at its
  /// bounds).
  std::vector<double> kinks;
  double kink_window = 1e-3;
  /// At most this many elements per input are probed one by one, chosen by a fixed stride.
  int64_t max_probes = 200;
  uint64_t seed = 1;  ///< of the weights that make a scalar of a non-scalar output
};

struct GradcheckResult {
  double worst = 0;      ///< largest relative error
  int worst_input = -1;  ///< where it stood
  int64_t worst_element = -1;
  double analytic = 0;
  double numeric = 0;
  int64_t probes = 0;
  bool passed = true;
  std::string describe() const;
};

/// Checks d<weights, fn(inputs)>/d(inputs) for every f64 input with requires_grad. fn must be deterministic.
/// DTypeError for f32 inputs that require gradients.
GradcheckResult gradcheck(const std::function<Var(const std::vector<Var>&)>& fn,
                          const std::vector<Var>& inputs, const GradcheckOptions& options = {});

}  // namespace lathe
