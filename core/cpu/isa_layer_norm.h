#pragma once
// Layer norm over rows of C values, compiled per instruction set (core/cpu/isa/layer_norm.cpp).

#include <cstdint>

#include "core/cpu/isa_norm.h"

namespace lathe::cpu {

/// y = (x - mean) invstd gamma + beta per row; gamma, beta may be null. mean, invstd: one value per row.
template <class T>
struct LayerNormRows {
  T *y = nullptr, *mean = nullptr, *invstd = nullptr;
  const T *x = nullptr, *gamma = nullptr, *beta = nullptr;
  double eps = 0;
};

/// dx (null: skipped), and sums over the chunk's rows for dgamma and dbeta (null: skipped).
template <class T>
struct LayerNormGradient {
  T *dx = nullptr, *dgamma = nullptr, *dbeta = nullptr;
  const T *dy = nullptr, *x = nullptr, *mean = nullptr, *invstd = nullptr, *gamma = nullptr;
};

LATHE_ISA_FUNCTION(void, layer_norm_rows_f32, const LayerNormRows<float>& operands, RowChunk chunk);
LATHE_ISA_FUNCTION(void, layer_norm_rows_f64, const LayerNormRows<double>& operands, RowChunk chunk);
LATHE_ISA_FUNCTION(void, layer_norm_gradient_f32, const LayerNormGradient<float>& operands, RowChunk chunk);
LATHE_ISA_FUNCTION(void, layer_norm_gradient_f64, const LayerNormGradient<double>& operands, RowChunk chunk);

}  // namespace lathe::cpu
