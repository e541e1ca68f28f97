#pragma once
// Ops that move elements and compute nothing.

#include <vector>

#include "autograd/var.h"

namespace lathe {

Var reshape(const Var& x, const Shape& shape);            ///< shares storage
Var permute(const Var& x, const std::vector<int>& axes);  ///< axis i of the result is axis axes[i] of x
Var concat(const std::vector<Var>& parts, int axis);
/// Elements begin, begin + step, ... < end along `axis`; end of -1 means the extent.
Var slice(const Var& x, int axis, int64_t begin, int64_t end, int64_t step = 1);

enum class PadMode : uint8_t { Constant, Replicate };
struct PadOptions {
  int axis = -1;
  int64_t before = 0, after = 0;
  PadMode mode = PadMode::Constant;
  double value = 0;
};
Var pad(const Var& x, const PadOptions& options);

/// ResNet's option-A shortcut: every `stride`-th pixel of (N, H, W, C), zero channels on both sides up to
/// `channels`.
Var option_a_shortcut(const Var& x, int64_t stride, int64_t channels);

}  // namespace lathe
