#pragma once
// Loops over contiguous elements, compiled per instruction set (core/cpu/isa/elementwise.cpp). n >= 0.

#include <cstdint>

#include "core/cpu/isa.h"

namespace lathe::cpu {

/// sum[i] += x[i]
LATHE_ISA_FUNCTION(void, accumulate_f32, float* sum, const float* x, int64_t n);
LATHE_ISA_FUNCTION(void, accumulate_f64, double* sum, const double* x, int64_t n);

}  // namespace lathe::cpu
