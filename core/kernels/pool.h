#pragma once
// Pooling kernels. x (N, H, W, C), y (N, OH, OW, C), one dtype (f32 or f64; on CUDA also bf16), no aliasing.

#include "core/dispatch.h"
#include "core/hd.h"

namespace lathe {

/// Windows along one axis of n elements.
struct PoolAxis {
  int64_t n = 1, out = 1;
  int64_t kernel = 1, stride = 1, pad = 0;
  bool adaptive =
      false;  ///< window i covers [floor(i n / out), ceil((i + 1) n / out)); kernel etc. are unused

  /// Window i within the input is [lo(i), hi(i)), not empty.
  LATHE_HD_INLINE int64_t lo(int64_t i) const {
    if (adaptive) return i * n / out;
    const int64_t start = i * stride - pad;
    return start < 0 ? 0 : start;
  }
  LATHE_HD_INLINE int64_t hi(int64_t i) const {
    if (adaptive) return ((i + 1) * n + out - 1) / out;
    const int64_t end = i * stride - pad + kernel;
    return end > n ? n : end;
  }
  /// The windows that hold element x are first(x) .. last(x); none where windows leave gaps.
  LATHE_HD_INLINE int64_t first(int64_t x) const {
    if (adaptive) return x * out / n;
    const int64_t past = x + pad - kernel + 1;  // no window before past / stride reaches x
    return past <= 0 ? 0 : (past + stride - 1) / stride;
  }
  LATHE_HD_INLINE int64_t last(int64_t x) const {
    const int64_t window = adaptive ? ((x + 1) * out - 1) / n : (x + pad) / stride;
    return window < out ? window : out - 1;
  }
  /// Length of window i with the padding it covers; no further than the right padding's end.
  LATHE_HD_INLINE int64_t padded(int64_t i) const {
    if (adaptive) return hi(i) - lo(i);
    const int64_t start = i * stride - pad, end = start + kernel;
    return (end > n + pad ? n + pad : end) - start;
  }
};

struct PoolGeometry {
  PoolAxis h, w;
  bool count_include_pad = true;  ///< avg only: divide by the padded window

  /// 1 / the divisor of output (i, j)
  LATHE_HD_INLINE double factor(int64_t i, int64_t j) const {
    const int64_t area =
        count_include_pad ? h.padded(i) * w.padded(j) : (h.hi(i) - h.lo(i)) * (w.hi(j) - w.lo(j));
    return 1.0 / static_cast<double>(area);
  }
};

namespace kernels {

/// y = the maximum of each window, NaN if it holds one; argmax (i32, y's shape; may be undefined) = h W + w
/// of the first element that attains it, or of the last NaN, as in PyTorch: keeping the first would cost a
/// comparison per pixel.
LATHE_KERNEL(max_pool_forward, Tensor& y, Tensor& argmax, const Tensor& x, const PoolGeometry& geometry);
/// dx = dy added up at argmax, which max_pool_forward found in windows of this geometry, 0 elsewhere, in
/// order of outputs.
LATHE_KERNEL(max_pool_backward, Tensor& dx, const Tensor& dy, const Tensor& argmax,
             const PoolGeometry& geometry);

/// y = the sum of each window in row order, times factor(i, j).
LATHE_KERNEL(avg_pool_forward, Tensor& y, const Tensor& x, const PoolGeometry& geometry);
LATHE_KERNEL(avg_pool_backward, Tensor& dx, const Tensor& dy, const PoolGeometry& geometry);

}  // namespace kernels
}  // namespace lathe
