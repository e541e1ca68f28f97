#pragma once
// Jobs of the depthwise micro-kernels (core/cpu/isa/conv_depthwise_rows.cpp); the drivers are those of
// core/cpu/conv_depthwise_rows.h.

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
  const int64_t first = slot / lanes * lanes;
  return slot - (first + lanes > channels ? first + lanes - channels : 0);
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
/// The same of images.
LATHE_ISA_FUNCTION(void, depthwise_images_f32, const DepthwiseImages<float>& images);
LATHE_ISA_FUNCTION(void, depthwise_images_f64, const DepthwiseImages<double>& images);
LATHE_ISA_FUNCTION(void, depthwise_weight_images_f32, const DepthwiseImages<float>& images);
LATHE_ISA_FUNCTION(void, depthwise_weight_images_f64, const DepthwiseImages<double>& images);
/// sum[i] += from[i], i < n, a multiple of the lanes
LATHE_ISA_FUNCTION(void, depthwise_add_f32, float* sum, const float* from, int64_t n);
LATHE_ISA_FUNCTION(void, depthwise_add_f64, double* sum, const double* from, int64_t n);

}  // namespace lathe::cpu
