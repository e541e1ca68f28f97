#pragma once
// Jobs of the depthwise 3x3 micro-kernels (core/cpu/isa/conv_depthwise_rows.cpp); the drivers are those of
// core/cpu/conv_depthwise_rows.h.
//
// Note [Depthwise rows]
// A depthwise layer multiplies little, 18 flops for 8 bytes that come or go, so nothing may be copied first:
// the kernels read rows of images where they stand, and treat the first and last column and the rows outside
// the image (null) by leaving out their taps.
//
// A job is one row of outputs and the three rows that make it (4 to 8 KiB each in most layers, in L1 since
// the row before). A tile is P pixels side by side of one vector of channels: 3 x (P + 2) loads and 9 of
// weights serve 9 P FMAs, each sum a chain of 9 that overlaps with its neighbours'. The next tile is the next
// vector of channels of the same pixels, so every load goes forward through memory line by line, as hardware
// prefetches best; channels outermost would step over whole pixels. The next row is prefetched meanwhile.
// Small maps (up to 4 columns) are one tile a row. Registers:
//            lanes  registers   P   weights + sums + an operand
//   SSE2       4       16       4     9 + 4 + 1
//   AVX2       8       16       4     9 + 4 + 1
//   AVX-512   16       32       6     9 + 6 + 1
// The weight gradient holds P pixels of dy in place of the sums and adds its 9 sums to memory once a tile; of
// narrow maps of stride 1 a job is several rows, channels outermost, so that it adds once for all of them.
//
// Backward-data of stride 1 is the forward with the kernel turned round. Of stride 2, the four gradients
// (2i, 2j) ... (2i + 1, 2j + 1) need dy of (i, j) ... (i + 1, j + 1), 9 products in all, and are made at
// once.

#include <cstdint>

#include "core/cpu/conv_tile.h"

namespace lathe::cpu {

/// A row of outputs and the rows that make it.
template <class T>
struct DepthwiseRow {
  /// Forward, backward-weight: rows of inputs for ky = 0, 1, 2. Backward-data of stride 2: dy of i, i + 1.
  const T* in[3] = {};    // null: outside; in[1] of the former, in[0] of the latter never is
  const T* dy = nullptr;  ///< backward-weight
  T* out[2] = {};         ///< forward: y. Backward-data of stride 2: dx of 2i, 2i + 1 (null: outside)
};

/// Rows that a call makes: one, or several of the weight gradient where out_width is 1, 2 or 4.
template <class T>
struct DepthwiseBand {
  const DepthwiseRow<T>* rows = nullptr;
  int64_t row_count = 0;
  int64_t channels = 0;              ///< a multiple of the vector's lanes
  int64_t width = 0, out_width = 0;  ///< pixels of a row of x and of y
  int64_t stride = 1;
  const T* w = nullptr;     ///< [9][channels]
  const T* bias = nullptr;  ///< forward: channels values or null
  T* dw = nullptr;          ///< backward-weight: [9][channels], added to
  ConvAhead ahead[2];       ///< what the next band needs
};

/// out[0] = bias + sum over taps of in * w
LATHE_ISA_FUNCTION(void, depthwise_rows_f32, const DepthwiseBand<float>& band);
LATHE_ISA_FUNCTION(void, depthwise_rows_f64, const DepthwiseBand<double>& band);
/// Backward-data of stride 2, in is dy, out is dx.
LATHE_ISA_FUNCTION(void, depthwise_spread_f32, const DepthwiseBand<float>& band);
LATHE_ISA_FUNCTION(void, depthwise_spread_f64, const DepthwiseBand<double>& band);
/// dw += sum over pixels of in * dy
LATHE_ISA_FUNCTION(void, depthwise_weight_rows_f32, const DepthwiseBand<float>& band);
LATHE_ISA_FUNCTION(void, depthwise_weight_rows_f64, const DepthwiseBand<double>& band);
/// sum[i] += from[i], i < n, a multiple of the lanes
LATHE_ISA_FUNCTION(void, depthwise_add_f32, float* sum, const float* from, int64_t n);
LATHE_ISA_FUNCTION(void, depthwise_add_f64, double* sum, const double* from, int64_t n);

}  // namespace lathe::cpu
