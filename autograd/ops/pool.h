#pragma once
// Pooling, channels last.

#include "autograd/var.h"

namespace lathe {

struct Pool2dOptions {
  int64_t kernel_h = 1, kernel_w = 1;
  int64_t stride_h = 1, stride_w = 1;
  int64_t pad_h = 0, pad_w = 0;
  bool ceil_mode =
      false;  ///< round the output size up; a window must still start inside input or left padding
  bool count_include_pad = true;  ///< avg_pool only
};
Var max_pool2d(const Var& x,
               const Pool2dOptions& options);  ///< pads with -inf; the first maximum gets the gradient
Var avg_pool2d(const Var& x, const Pool2dOptions& options);

struct Pool1dOptions {
  int64_t kernel = 1, stride = 1, padding = 0;
  bool ceil_mode = false;
  bool count_include_pad = true;
};
Var max_pool1d(const Var& x, const Pool1dOptions& options);
Var avg_pool1d(const Var& x, const Pool1dOptions& options);

/// Window i covers [floor(i n / out), ceil((i + 1) n / out)).
Var adaptive_avg_pool2d(const Var& x, int64_t out_h, int64_t out_w);
Var adaptive_max_pool2d(const Var& x, int64_t out_h, int64_t out_w);
/// (N, H, W, C) -> (N, C)
Var global_avg_pool2d(const Var& x);

}  // namespace lathe
