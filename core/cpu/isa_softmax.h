#pragma once
// Softmax along rows and along columns, compiled per instruction set (core/cpu/isa/softmax.cpp). The largest
// value is subtracted first. NaN and +inf make the whole row NaN, as does a row of -inf.

#include <cstdint>

#include "core/cpu/isa.h"

namespace lathe::cpu {

/// A matrix of softmaxes. Rows: each of `count` rows of `n` contiguous values is one. Columns: each of
/// `count` columns, value i of which lies i * count after the first.
struct SoftmaxShape {
  int64_t count = 0, n = 0;
  bool columns = false;
  bool log = false;
};

LATHE_ISA_FUNCTION(void, softmax_f32, float* y, const float* x, const SoftmaxShape& shape);
LATHE_ISA_FUNCTION(void, softmax_f64, double* y, const double* x, const SoftmaxShape& shape);
LATHE_ISA_FUNCTION(void, softmax_gradient_f32, float* dx, const float* dy, const float* y,
                   const SoftmaxShape& shape);
LATHE_ISA_FUNCTION(void, softmax_gradient_f64, double* dx, const double* dy, const double* y,
                   const SoftmaxShape& shape);
/// log(sum over i < n of exp(x[i])); -inf for no value or only -inf.
LATHE_ISA_FUNCTION(float, log_sum_exp_f32, const float* x, int64_t n);
LATHE_ISA_FUNCTION(double, log_sum_exp_f64, const double* x, int64_t n);
/// y[i] = scale exp(x[i] - shift); x[i] <= shift up to rounding. y may be x.
LATHE_ISA_FUNCTION(void, scaled_exp_f32, float* y, const float* x, float shift, float scale, int64_t n);
LATHE_ISA_FUNCTION(void, scaled_exp_f64, double* y, const double* x, double shift, double scale, int64_t n);

}  // namespace lathe::cpu
