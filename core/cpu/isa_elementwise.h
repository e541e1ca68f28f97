#pragma once
// Loops over elements, compiled per instruction set (core/cpu/isa/elementwise.cpp, unary.cpp). Counts may be
// 0.

#include <cstdint>

#include "core/cpu/isa.h"
#include "core/kernels/elementwise_math.h"

namespace lathe::cpu {

/// `rows` rows of n elements. Element (i, j) of the dense operands stands at i n + j; of operand a at
/// i a_row + j a_step, with a_step 0 or 1; likewise b.
struct Strip {
  int64_t rows = 1, n = 0;
  int64_t a_row = 0, a_step = 1;
  int64_t b_row = 0, b_step = 1;
};

/// y = op(a, b)
LATHE_ISA_FUNCTION(void, binary_f32, float* y, const float* a, const float* b, const Strip& strip,
                   BinaryOp op);
LATHE_ISA_FUNCTION(void, binary_f64, double* y, const double* a, const double* b, const Strip& strip,
                   BinaryOp op);
/// dx = dy times the derivative of op(a, b) for a (side 0) or b (side 1).
LATHE_ISA_FUNCTION(void, binary_backward_f32, float* dx, const float* dy, const float* a, const float* b,
                   const Strip& strip, BinaryOp op, int side);
LATHE_ISA_FUNCTION(void, binary_backward_f64, double* dx, const double* dy, const double* a, const double* b,
                   const Strip& strip, BinaryOp op, int side);

/// y[i] = op(x[i])
LATHE_ISA_FUNCTION(void, unary_f32, float* y, const float* x, int64_t n, UnaryOp op, UnaryParameters p);
LATHE_ISA_FUNCTION(void, unary_f64, double* y, const double* x, int64_t n, UnaryOp op, UnaryParameters p);
/// dx[i] from dy[i] and s[i], the tensor that saves_output(op) names.
LATHE_ISA_FUNCTION(void, unary_backward_f32, float* dx, const float* dy, const float* s, int64_t n,
                   UnaryOp op, UnaryParameters p);
LATHE_ISA_FUNCTION(void, unary_backward_f64, double* dx, const double* dy, const double* s, int64_t n,
                   UnaryOp op, UnaryParameters p);

/// sum[i] += x[i]
LATHE_ISA_FUNCTION(void, accumulate_f32, float* sum, const float* x, int64_t n);
LATHE_ISA_FUNCTION(void, accumulate_f64, double* sum, const double* x, int64_t n);
/// sum[i] += factor x[i]
LATHE_ISA_FUNCTION(void, accumulate_scaled_f32, float* sum, const float* x, int64_t n, float factor);
LATHE_ISA_FUNCTION(void, accumulate_scaled_f64, double* sum, const double* x, int64_t n, double factor);

/// dx[i] *= the derivative of gelu at x[i], y[i] = gelu(x[i])
LATHE_ISA_FUNCTION(void, gelu_gradient_f32, float* dx, float* y, const float* x, int64_t n);
LATHE_ISA_FUNCTION(void, gelu_gradient_f64, double* dx, double* y, const double* x, int64_t n);

/// y[i] = a[i] sigmoid(b[i])
LATHE_ISA_FUNCTION(void, glu_f32, float* y, const float* a, const float* b, int64_t n);
LATHE_ISA_FUNCTION(void, glu_f64, double* y, const double* a, const double* b, int64_t n);
LATHE_ISA_FUNCTION(void, glu_backward_f32, float* da, float* db, const float* dy, const float* a,
                   const float* b, int64_t n);
LATHE_ISA_FUNCTION(void, glu_backward_f64, double* da, double* db, const double* dy, const double* a,
                   const double* b, int64_t n);

}  // namespace lathe::cpu
