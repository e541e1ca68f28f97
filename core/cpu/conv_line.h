#pragma once
// Convolutions along one axis as matrix products. Channels last, the window of an output is a run of memory:
// k c values, stride c after the last. So x is a matrix of overlapping rows and nothing is copied; only where
// an image gives few rows, those of all images are gathered for one product.

#include "core/cpu/conv_plan.h"

namespace lathe::cpu {

/// One row of pixels, no padding, no dilation, no groups, a window of several pixels.
bool conv_is_line(const ConvShape& shape, const Conv2dGeometry& geometry);

/// y (n, ow, k) = x (n, w, c) * w (k, kw, c) + bias (k) or null. All of one type, f32 or f64.
template <Floating T>
void conv_line_forward(const ConvShape& shape, T* y, const T* x, const T* w, const T* bias);
/// dx from dy.
template <Floating T>
void conv_line_data(const ConvShape& shape, T* dx, const T* dy, const T* w);
/// dw from dy and x, image after image.
template <Floating T>
void conv_line_weight(const ConvShape& shape, T* dw, const T* dy, const T* x);

}  // namespace lathe::cpu
