#pragma once
// A convolution together with the maps of its neighbours: the batch norm and relu in front of it are applied
// while its input is copied into scratch, the statistics of the one behind it are taken while its output is
// in cache.
//
// Note [Fused convolutions]
// Training streams activations: a 16-channel layer of a batch of 128 is 8 MB, and a norm, a relu or a sum
// that is a pass of its own costs as much time as half of the layer's products. So a chain conv - norm - relu
// - conv keeps only the convolutions' outputs z in memory. Going forward, a convolution reads relu((z - mean)
// scale + shift) of the one before it and sums the moments of what it writes. Going backward, with g the
// gradient of the norm's output,
//
//   dz = a g + b (z - mean) + c          a = invstd gamma, b and c from sums of g and g (z - mean)
//
// is formed while it is copied into scratch, feeds both dw and the convolution's backward-data, whose result
// is masked where the relu in front was zero and summed for the next norm, still in cache. A chain's driver
// is core/cpu/conv_chain.cpp; conv_fused.cpp picks the kernels: depthwise rows, Winograd, direct ones, or
// products where nothing is mapped (conv_product.cpp).
//
// Direct kernels map what they copy into scratch anyway (conv_copy.cpp). Backward, one copy of dy serves dx
// and dw (conv_backward.cpp) where their windows are the same and dw is small enough for a sum per task;
// elsewhere dz is written once as a tensor.

#include <cstdint>
#include <vector>

#include "core/cpu/conv_plan.h"
#include "core/cpu/isa_norm.h"

namespace lathe::cpu {

/// A tensor (N, H, W, C) that is computed while it is read.
template <class T>
struct ConvOperand {
  enum class Map : uint8_t {
    Identity,  ///< x
    Affine,    ///< affine.x mapped as AffineRows says; no y, no residual
    Gradient,  ///< the dx of GradientRows; no dx, no dresidual
  };
  Map map = Map::Identity;
  const T* x = nullptr;
  AffineRows<T> affine;
  GradientRows<T> gradient;
};

/// What becomes of v, the convolution's backward-data, before it is stored.
template <class T>
struct ConvInputGradient {
  T* dx = nullptr;  ///< null: not wanted
  /// v += g of a residual that leaves from the same input, see GradientRows (dy, and y as its mask). Null:
  /// none.
  const T *residual_dy = nullptr, *residual_y = nullptr;
  /// v = 0 where the map's value (before its relu) is not positive. affine.x null: no mask.
  AffineRows<T> mask;
  /// Where a mask is given: sums over all pixels of v in [0, C), of v (mask.x - mask.mean) in [C, 2C).
  std::vector<double> sums;
};

/// y = conv(x) + bias (null: none). `moments`, where not null, becomes the mean of y per channel, then the
/// sum of squared distances from it (2 K values).
template <class T>
void conv_fused_forward(const ConvShape& shape, T* y, const ConvOperand<T>& x, const T* w, const T* bias,
                        std::vector<double>* moments);

/// dw (null: not wanted) and gradient.dx from dy (N, OH, OW, K) and x (N, H, W, C).
template <class T>
void conv_fused_backward(const ConvShape& shape, T* dw, ConvInputGradient<T>& gradient,
                         const ConvOperand<T>& dy, const ConvOperand<T>& x, const T* w);

}  // namespace lathe::cpu
