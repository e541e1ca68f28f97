#pragma once
// Lathe's own convolution kernels and what they share. cuda/conv.cu chooses among them and the toolkit's.

#include "core/kernels/conv.h"

namespace lathe::cuda {

/// x (n, h, w, c), weights (k, kh, kw, c / groups), y (n, oh, ow, k), channels last.
struct ConvSizes {
  int n = 0, h = 0, w = 0, c = 0;
  int k = 0, kh = 0, kw = 0;
  int oh = 0, ow = 0;
  int stride_h = 1, stride_w = 1;
  int pad_h = 0, pad_w = 0;
  int dilation_h = 1, dilation_w = 1;
  int groups = 1;

  ConvSizes(const Tensor& x, const Tensor& weights, const Tensor& y, const Conv2dGeometry& geometry);
  ConvSizes() = default;
  LATHE_HD int taps() const { return kh * kw; }
  LATHE_HD int group_c() const { return c / groups; }
  LATHE_HD int group_k() const { return k / groups; }
};

/// How a gradient of weights is divided into partial sums, a function of sizes only: part p adds output lines
/// [p lines, (p + 1) lines) of the n * oh there are.
struct ConvParts {
  int64_t count = 1, lines = 1;

  ConvParts(const ConvSizes& sizes, int64_t wanted);
};
/// dw[i] = the sum of parts[p * elements + i] over p, in a fixed order.
template <class T>
void add_conv_parts(T* dw, const double* parts, int64_t count, int64_t elements);

/// Any convolution, one thread per element of the result. For f64, and for what the toolkit does not have:
/// there is no reuse but the caches', so a large one is an order of magnitude slower than a tiled kernel.
template <class T>
void direct_forward(T* y, const T* x, const T* w, const T* bias, const ConvSizes& sizes);
template <class T>
void direct_backward_data(T* dx, const T* dy, const T* w, const ConvSizes& sizes);
template <class T>
void direct_backward_weight(T* dw, const T* dy, const T* x, const ConvSizes& sizes);

/// One input channel per group, and more than one group.
bool is_depthwise(const ConvSizes& sizes);
/// Depthwise convolutions; false, with nothing queued, for shapes these kernels do not have: more taps than
/// fit shared memory; backward-data with several outputs per channel.
template <class T>
bool depthwise_forward(T* y, const T* x, const T* w, const T* bias, const ConvSizes& sizes);
template <class T>
bool depthwise_backward_data(T* dx, const T* dy, const T* w, const ConvSizes& sizes);
template <class T>
bool depthwise_backward_weight(T* dw, const T* dy, const T* x, const ConvSizes& sizes);

}  // namespace lathe::cuda
