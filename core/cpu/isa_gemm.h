#pragma once
// One serial matrix product, compiled per instruction set (core/cpu/isa/gemm.cpp). core/cpu/gemm.h makes
// parallel products of it.

#include <cstdint>

#include "core/cpu/isa.h"

namespace lathe::cpu {

/// C (m, n) = op(A) op(B), or C += ... when `accumulate`. Row-major; op transposes when asked, so A is stored
/// (m, k) or (k, m) and B (k, n) or (n, k). lda, ldb, ldc are the distances between stored rows. Any of m, n,
/// k may be 0. C overlaps neither A nor B.
struct GemmShape {
  int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  bool accumulate = false;
  int64_t lda = 0, ldb = 0, ldc = 0;
};

LATHE_ISA_FUNCTION(void, serial_gemm_f32, float* c, const float* a, const float* b, const GemmShape& shape);
LATHE_ISA_FUNCTION(void, serial_gemm_f64, double* c, const double* a, const double* b,
                   const GemmShape& shape);

}  // namespace lathe::cpu
