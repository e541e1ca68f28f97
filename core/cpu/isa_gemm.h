#pragma once
// One serial matrix product in two steps, compiled per instruction set (core/cpu/isa/gemm.cpp).
// core/cpu/gemm.h makes whole and parallel products of them.

#include <cstdint>

#include "core/cpu/isa.h"

namespace lathe::cpu {

/// C (m, n) = op(A) op(B), or C += ... when `accumulate` (which a PackedProduct says by its start).
/// Row-major; op transposes when asked, so A is stored (m, k) or (k, m) and B (k, n) or (n, k). lda, ldb, ldc
/// are the distances between stored rows. Any of m, n, k may be 0. C overlaps neither A nor B.
struct GemmShape {
  int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  bool accumulate = false;
  int64_t lda = 0, ldb = 0, ldc = 0;
};

/// Column ranges begin at multiples of this, for every instruction set.
constexpr int64_t kGemmColumns = 32;
/// Elements that op(B) takes packed: whole panels of columns.
constexpr int64_t packed_size(int64_t n, int64_t k) {
  return (n + kGemmColumns - 1) / kGemmColumns * kGemmColumns * k;
}
/// Elements of scratch that gemm_packed needs for m rows.
constexpr int64_t gemm_scratch_size(int64_t m) {
  return (m + 11) / 12 * 12 * 272;
}

/// Writes columns [lo, hi) of op(B) (k, n) to their place in `packed`.
LATHE_ISA_FUNCTION(void, gemm_pack_f32, float* packed, const float* b, const GemmShape& shape, int64_t lo,
                   int64_t hi);
LATHE_ISA_FUNCTION(void, gemm_pack_f64, double* packed, const double* b, const GemmShape& shape, int64_t lo,
                   int64_t hi);
/// C = op(A) op(B) + start + bias, from B packed. Columns from lo on are those of packed + lo * k. Terms are
/// added in their order, in even blocks of at most 256, whatever m and n are.
template <class T>
struct PackedProduct {
  T* c = nullptr;
  const T* a = nullptr;
  const T* packed = nullptr;
  int64_t b_step = 0;  ///< > 0: `packed` is B itself, stored (k, n) with rows this far apart; n % 16 == 0
  const T* start = nullptr;  ///< (m, n), rows start_step apart, may be C itself; or null
  int64_t start_step = 0;
  const T* bias = nullptr;    ///< (n) or null
  const T* next_a = nullptr;  ///< what the next product reads of A, next_rows of m: fetched; or null
  int64_t next_rows = 0;
  const T* next_b = nullptr;  ///< likewise of B, where it is not packed
  bool gelu = false;          ///< op(A) is of gelu(a); A is not stored transposed
  T* sums = nullptr;          ///< (m), A stored transposed: sums of op(A) over the terms are added; or null
  T* scratch = nullptr;       ///< gemm_scratch_size(m) elements
};
LATHE_ISA_FUNCTION(void, gemm_packed_f32, const PackedProduct<float>& product, const GemmShape& shape);
LATHE_ISA_FUNCTION(void, gemm_packed_f64, const PackedProduct<double>& product, const GemmShape& shape);

/// Products of rows with rows: C[i * row + j * column] (+)= sum over k of a[i * lda + k] b[j * ldb + k].
/// Cheaper than packing B for a few rows of A.
struct DotShape {
  int64_t m = 0, n = 0, k = 0;
  int64_t lda = 0, ldb = 0;
  int64_t row = 0, column = 0;
  bool accumulate = false;
};
LATHE_ISA_FUNCTION(void, gemm_dots_f32, float* c, const float* a, const float* b, const DotShape& shape);
LATHE_ISA_FUNCTION(void, gemm_dots_f64, double* c, const double* a, const double* b, const DotShape& shape);

}  // namespace lathe::cpu
