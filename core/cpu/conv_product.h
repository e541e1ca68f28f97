#pragma once
// Pointwise convolutions of one group as products of matrices (gemm.h): pixels are rows, channels columns.
// Where the stride skips pixels of x, those that are needed are gathered first, and the input gradient is
// scattered while it is in a cache.

#include "core/cpu/conv_plan.h"

namespace lathe::cpu {

/// Whether products serve, of outputs and input gradients or of weight gradients: few channels are faster
/// in tiles of pixels (Note [Convolution tiling]).
bool is_conv_product(const ConvShape& shape);
bool is_conv_weight_product(const ConvShape& shape);

/// y = x w^T + bias; `bias` may be null.
template <class T>
void conv_product_forward(const ConvShape& shape, T* y, const T* x, const T* w, const T* bias);
template <class T>
void conv_product_backward_data(const ConvShape& shape, T* dx, const T* dy, const T* w);
template <class T>
void conv_product_backward_weight(const ConvShape& shape, T* dw, const T* dy, const T* x);

}  // namespace lathe::cpu
