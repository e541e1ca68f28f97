#pragma once
// What happens to rows of channels that a convolution has just written, while they are in cache: loops
// compiled per instruction set (core/cpu/isa/conv_rows.cpp). Unlike those of isa_norm.h they set up little
// per call, and add to sums that the caller began.

#include <cstdint>

#include "core/cpu/conv_tile.h"
#include "core/cpu/isa_norm.h"

namespace lathe::cpu {

/// v = (v + g) masked: g is residual_dy, 0 where residual_y is given and not positive; the mask is 0 where
/// (x - mean) scale + shift is not positive (x null: no mask, no sums).
template <class T>
struct InputGradientRows {
  T* v = nullptr;
  const T *residual_dy = nullptr, *residual_y = nullptr;
  AffineRows<T> mask;
};

/// Adds sum[c] of v and sum[channels + c] of v (mask.x - mask.mean).
LATHE_ISA_FUNCTION(void, input_gradient_rows_f32, double* sums, const InputGradientRows<float>& operands,
                   RowChunk chunk);
LATHE_ISA_FUNCTION(void, input_gradient_rows_f64, double* sums, const InputGradientRows<double>& operands,
                   RowChunk chunk);

/// to = the mapping of x (and of g and y beside it), row by row.
LATHE_ISA_FUNCTION(void, map_rows_f32, float* to, const float* x, const ConvMapping<float>& mapping,
                   RowChunk chunk);
LATHE_ISA_FUNCTION(void, map_rows_f64, double* to, const double* x, const ConvMapping<double>& mapping,
                   RowChunk chunk);

/// moments[c]: mean; moments[channels + c]: sum of squared distances from it. At least one row.
LATHE_ISA_FUNCTION(void, moment_rows_f32, double* moments, const float* x, RowChunk chunk);
LATHE_ISA_FUNCTION(void, moment_rows_f64, double* moments, const double* x, RowChunk chunk);

}  // namespace lathe::cpu
