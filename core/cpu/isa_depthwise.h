#pragma once
// Jobs of the depthwise micro-kernels (core/cpu/isa/conv_depthwise_{rows,weight,images}.cpp); the drivers are
// those of core/cpu/conv_depthwise_rows.h.
//
// Note [Depthwise rows]
// A depthwise layer multiplies little, 18 flops of a 3x3 for 8 bytes that come or go, so nothing may be
// copied first: the kernels read images where they stand, and taps outside of them are left out. Three ideas:
//
// Rows (conv_depthwise_rows.cpp), for every 3x3 and 5x5 of stride 1 or 2. A job is one row of outputs and the
// list of rows of inputs that it meets, each with the row of the kernel that it is multiplied by: rows
// outside the image are not in the list, and the input gradient of stride 2, whose even and odd rows meet
// every other row of the kernel, is the same job with other lists. That of stride 1 is the forward with the
// kernel turned round. A tile is P pixels side by side of one vector of channels; their sums are in registers
// over the whole list. Each pixel of an input is loaded once a row and used at once by all sums that it meets
// (3x3: P + 2 loads for 3 P FMAs, and 3 weights, reloaded a row), in the order of memory. The next tile is
// the next vector of channels of the same pixels. Rows that come next are prefetched tile by tile, one
// instruction a line.
//            lanes  registers   P of stride 1 (2)   sums + weights of 3x3 (5x5) + an input
//   SSE2       4       16        8 (4)               8 + 3 (5) + 1
//   AVX2       8       16        8 (4)               8 + 3 (5) + 1
//   AVX-512   16       32       16 (8)              16 + 3 (5) + 1
// Narrower rests halve P. The weight gradient holds P pixels of dy in place of the sums, and the 3 (5) sums
// of a row of the kernel, twice where registers are left: FMAs into one sum wait for each other. It adds them
// to memory once a tile and row.
//
// Columns (conv_depthwise_weight.cpp), for the weight gradient of 3x3; of stride 1 up to 149 float channels.
// Three rows of x, one of dy and those that are prefetched are 6 rows: 48 KiB of 16 pixels of 128 channels,
// all of L1, so each row of x would come from L2 three times. So a pass over rows takes as many columns as
// stay in 28 KiB (of 128 channels 8, of 32 all 32), then the next block of them; blocks have sums of their
// own, so that rows that are made one by one, which take all columns of a row in turn, give the same bits.
// All 9 sums are in registers: 9 chains of FMAs, P = 8 (4) pixels of dy, an input. Measured for 64 images of
// 16x16, 128 channels, 2 threads: 0.158 ms, rows 0.184 ms. Blocks of channels instead are slower than none,
// as are channels outermost over several rows (steps of 512 bytes, few sets of L1?). Of stride 2 a pixel of
// x meets one or two of dy, so rows pass by pixel by pixel, two vectors of channels wide with 18 sums (9 with
// 16 registers), 14 loads for 18 FMAs. Measured for 64 images of 32x32, 64 channels: 0.39 ms, tiles of rows
// 0.47; without prefetch, or with one to L2, it is slower.
//
// Images (conv_depthwise_images.cpp), for 3x3 of stride 1 on maps of 2x2 or 4x4: a row is too short for a
// tile, a quarter of the taps is outside, and a job a row costs as much as its FMAs. A tile is a whole image
// of one vector of channels (16 sums; 8 with 16 registers, two halves), unrolled with the taps that are
// inside, 9 weights in registers over all images of a job. The weight gradient keeps its 9 sums (twice with
// 32 registers) over all of them too. Channels are outermost, which is why the images of a job are few enough
// to stay in L2, with those after them, which are prefetched there.

#include <cstdint>

#include "core/cpu/conv_tile.h"

namespace lathe::cpu {

inline constexpr int64_t kDepthwiseKernel = 5;  ///< the largest

/// A row of outputs and the rows of inputs that it is made of, those outside the image left out.
template <class T>
struct DepthwiseRow {
  int64_t count = 0;                   ///< of inputs
  const T* in[kDepthwiseKernel] = {};  ///< forward, weight gradient: rows of x; input gradient: of dy
  int64_t w[kDepthwiseKernel] = {};    ///< where the row of the kernel begins that each meets
  const T* dy = nullptr;               ///< weight gradient
  T* out = nullptr;                    ///< y or dx
};

/// A row of outputs to be made.
template <class T>
struct DepthwiseBand {
  DepthwiseRow<T> row;
  int64_t channels = 0;              ///< at least a vector's lanes
  int64_t width = 0, out_width = 0;  ///< pixels of a row of x (or dx) and of y (or dy)
  int64_t kernel = 3, stride = 1;    ///< 3 or 5; 1 or 2
  int64_t slots = 0;                 ///< depthwise_slots(channels)
  const T* w = nullptr;              ///< [kernel][kernel][slots]
  const T* bias = nullptr;           ///< forward: slots values or null
  T* dw = nullptr;                   ///< weight gradient: as w, added to
  const T* ahead[2] = {};            ///< rows like those of inputs that are prefetched; null: none
  const T* ahead_dy = nullptr;       ///< a row like dy
};

/// Part of a row of dy of a 3x3 weight gradient, and the rows of x that it meets.
template <class T>
struct DepthwiseWeightRow {
  const T* in[3] = {};  ///< of ky = 0, 1, 2; the first and the last may be null: outside the image
  const T* dy = nullptr;
  const T* ahead[2] = {};                     ///< rows like those of inputs that are prefetched; null: none
  const T* ahead_dy = nullptr;                ///< a row like dy
  int64_t channels = 0, slots = 0;            ///< as above
  int64_t width = 0;                          ///< of x
  int64_t stride = 1;                         ///< 1 or 2
  int64_t first_column = 0, last_column = 0;  ///< of the part
  T* dw = nullptr;                            ///< [9][slots], added to
};

/// Whole images of 2x2 or 4x4 pixels, 3x3 kernels of stride 1.
template <class T>
struct DepthwiseImages {
  int64_t count = 0;                ///< of images, one after another in each tensor
  int64_t size = 0;                 ///< 2 or 4
  int64_t channels = 0, slots = 0;  ///< as above
  const T* in = nullptr;            ///< x, or dy of an input gradient
  const T* dy = nullptr;            ///< weight gradient
  T* out = nullptr;
  const T *w = nullptr, *bias = nullptr;
  T* dw = nullptr;
  bool accumulate = false;  ///< whether dw is added to
  const T* ahead[2] = {};   ///< as many images that are prefetched; null: none
};

/// Channels go by vectors, the last of which begins earlier where they are no multiple of its lanes: it makes
/// some channels again. Weights and their gradients are packed by vector, so that those have two slots.
constexpr int64_t depthwise_slots(int64_t channels, int64_t lanes) {
  return (channels + lanes - 1) / lanes * lanes;
}
/// The channel of a slot.
constexpr int64_t depthwise_channel(int64_t slot, int64_t channels, int64_t lanes) {
  const int64_t slots = depthwise_slots(channels, lanes);
  return slot < slots - lanes ? slot : slot - (slots - channels);
}

/// out = bias + sum over taps of in * w
LATHE_ISA_FUNCTION(void, depthwise_rows_f32, const DepthwiseBand<float>& band);
LATHE_ISA_FUNCTION(void, depthwise_rows_f64, const DepthwiseBand<double>& band);
/// Input gradient of stride 2, in is dy, out is dx.
LATHE_ISA_FUNCTION(void, depthwise_spread_f32, const DepthwiseBand<float>& band);
LATHE_ISA_FUNCTION(void, depthwise_spread_f64, const DepthwiseBand<double>& band);
/// dw += sum over pixels of in * dy
LATHE_ISA_FUNCTION(void, depthwise_weight_rows_f32, const DepthwiseBand<float>& band);
LATHE_ISA_FUNCTION(void, depthwise_weight_rows_f64, const DepthwiseBand<double>& band);
LATHE_ISA_FUNCTION(void, depthwise_weight_row_f32, const DepthwiseWeightRow<float>& row);
LATHE_ISA_FUNCTION(void, depthwise_weight_row_f64, const DepthwiseWeightRow<double>& row);
/// The same of images.
LATHE_ISA_FUNCTION(void, depthwise_images_f32, const DepthwiseImages<float>& images);
LATHE_ISA_FUNCTION(void, depthwise_images_f64, const DepthwiseImages<double>& images);
LATHE_ISA_FUNCTION(void, depthwise_weight_images_f32, const DepthwiseImages<float>& images);
LATHE_ISA_FUNCTION(void, depthwise_weight_images_f64, const DepthwiseImages<double>& images);
/// sum[i] += from[i], i < n, a multiple of the lanes
LATHE_ISA_FUNCTION(void, depthwise_add_f32, float* sum, const float* from, int64_t n);
LATHE_ISA_FUNCTION(void, depthwise_add_f64, double* sum, const double* from, int64_t n);

}  // namespace lathe::cpu
