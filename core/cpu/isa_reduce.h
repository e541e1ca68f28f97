#pragma once
// Sums in f64, compiled per instruction set (core/cpu/isa/reduce.cpp). The order of additions is written out,
// so every instruction set gives the same bits.

#include <cstdint>

#include "core/cpu/isa.h"

namespace lathe::cpu {

/// Sum of n elements: 16 interleaved lanes, added up pairwise.
LATHE_ISA_FUNCTION(double, sum_f32, const float* x, int64_t n);
LATHE_ISA_FUNCTION(double, sum_f64, const double* x, int64_t n);

/// sum[j] += x[i stride + j] over all rows i, in order, j < columns.
LATHE_ISA_FUNCTION(void, add_rows_f32, double* sum, const float* x, int64_t rows, int64_t columns,
                   int64_t stride);
LATHE_ISA_FUNCTION(void, add_rows_f64, double* sum, const double* x, int64_t rows, int64_t columns,
                   int64_t stride);

}  // namespace lathe::cpu
