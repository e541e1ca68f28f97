#pragma once
// Loops over rows of C channels, compiled per instruction set (core/cpu/isa/norm.cpp). A call handles one
// chunk of rows, one after the other in memory; chunks and threads are core/cpu/norm.cpp's business.

#include <cstdint>

#include "core/cpu/isa.h"

namespace lathe::cpu {

/// A chunk: `rows` rows of `channels`.
struct RowChunk {
  int64_t rows = 0, channels = 0;
};

/// Operands of y = act((x - mean) scale + shift + residual); residual may be null.
template <class T>
struct AffineRows {
  T* y = nullptr;
  const T* x = nullptr;
  const T* residual = nullptr;
  const T *mean = nullptr, *scale = nullptr, *shift = nullptr;  // per channel
  bool relu = false;
};

/// Operands of the backward pass: g = dy, or 0 where the forward's output y is not positive (y null: no
/// mask).
template <class T>
struct GradientRows {
  const T *dy = nullptr, *x = nullptr, *y = nullptr;
  const T* mean = nullptr;  // per channel
  // dx = a g + b (x - mean) + c, per channel; dresidual = g. Null outputs are skipped.
  T *dx = nullptr, *dresidual = nullptr;
  const T *a = nullptr, *b = nullptr, *c = nullptr;
};

/// mean[c] and m2[c], the sum of squared distances from it; at least one row.
LATHE_ISA_FUNCTION(void, channel_moments_f32, double* mean, double* m2, const float* x, RowChunk chunk);
LATHE_ISA_FUNCTION(void, channel_moments_f64, double* mean, double* m2, const double* x, RowChunk chunk);
/// sum[c] of x
LATHE_ISA_FUNCTION(void, channel_sums_f32, double* sum, const float* x, RowChunk chunk);
LATHE_ISA_FUNCTION(void, channel_sums_f64, double* sum, const double* x, RowChunk chunk);
LATHE_ISA_FUNCTION(void, affine_rows_f32, const AffineRows<float>& operands, RowChunk chunk);
LATHE_ISA_FUNCTION(void, affine_rows_f64, const AffineRows<double>& operands, RowChunk chunk);
/// sum_g[c] of g and sum_gx[c] of g (x - mean). Where y and dresidual are given, dresidual = g too.
LATHE_ISA_FUNCTION(void, gradient_sums_f32, double* sum_g, double* sum_gx,
                   const GradientRows<float>& operands, RowChunk chunk);
LATHE_ISA_FUNCTION(void, gradient_sums_f64, double* sum_g, double* sum_gx,
                   const GradientRows<double>& operands, RowChunk chunk);
LATHE_ISA_FUNCTION(void, gradient_rows_f32, const GradientRows<float>& operands, RowChunk chunk);
LATHE_ISA_FUNCTION(void, gradient_rows_f64, const GradientRows<double>& operands, RowChunk chunk);

}  // namespace lathe::cpu
