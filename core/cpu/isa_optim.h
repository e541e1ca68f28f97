#pragma once
// Update loops over contiguous elements, compiled per instruction set (core/cpu/isa/optim.cpp). n >= 0.

#include <cstdint>

#include "core/cpu/isa.h"
#include "core/kernels/optim_math.h"

namespace lathe::cpu {

/// momentum may be null.
LATHE_ISA_FUNCTION(void, sgd_f32, float* p, const float* g, float* momentum, int64_t n,
                   const SgdScalars<float>& s, bool nesterov);
LATHE_ISA_FUNCTION(void, sgd_f64, double* p, const double* g, double* momentum, int64_t n,
                   const SgdScalars<double>& s, bool nesterov);
LATHE_ISA_FUNCTION(void, adam_f32, float* p, const float* g, float* m, float* v, int64_t n,
                   const AdamScalars<float>& s);
LATHE_ISA_FUNCTION(void, adam_f64, double* p, const double* g, double* m, double* v, int64_t n,
                   const AdamScalars<double>& s);
/// momentum may be null.
LATHE_ISA_FUNCTION(void, rmsprop_f32, float* p, const float* g, float* v, float* momentum, int64_t n,
                   const RmspropScalars<float>& s);
LATHE_ISA_FUNCTION(void, rmsprop_f64, double* p, const double* g, double* v, double* momentum, int64_t n,
                   const RmspropScalars<double>& s);
LATHE_ISA_FUNCTION(void, ema_f32, float* average, const float* x, int64_t n, double decay);
LATHE_ISA_FUNCTION(void, ema_f64, double* average, const double* x, int64_t n, double decay);
/// Sum of x[i]^2 in double, over eight fixed lanes that are added up pairwise.
LATHE_ISA_FUNCTION(double, squares_f32, const float* x, int64_t n);
LATHE_ISA_FUNCTION(double, squares_f64, const double* x, int64_t n);

}  // namespace lathe::cpu
