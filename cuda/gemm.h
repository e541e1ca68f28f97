#pragma once
// The seam to the toolkit's matrix products: vendor/gemm.cpp, or plain loops in the emulator of the tests.

#include <compare>

#include "core/dtype.h"

namespace lathe::cuda {

/// y[i] = op(a[i]) op(b[i]) + bias + y[i] for i < batch, the last two where asked for. Row-major: op(a) (m,
/// k), op(b) (k, n), y (m, n); m, n, k and batch are at least 1. Leading dimensions and strides in elements.
struct Gemm {
  int64_t m = 0, n = 0, k = 0;
  int64_t lda = 0, ldb = 0, ldy = 0;  ///< between rows as they are stored
  bool transpose_a = false, transpose_b = false;
  int64_t batch = 1;
  int64_t stride_a = 0, stride_b = 0, stride_y = 0;  ///< 0: every product reads the same a or b
  /// (f32, f32), (f64, f64), (bf16, bf16) or (bf16, f32); sums are f32 for bf16.
  DType in = DType::F32, out = DType::F32;
  bool bias = false;        ///< n elements of type `out`, the same for every product
  bool accumulate = false;  ///< adds to what y holds
  bool tf32 = false;        ///< f32 operands may be rounded to 10 bits of mantissa
  bool deterministic = true;

  auto operator<=>(const Gemm&) const = default;
};

/// Queues the products on the compute stream; if deterministic, bit for bit the same for the same problem on
/// the same kind of device. False, with nothing queued, if the toolkit has no algorithm for them.
bool gemm(const Gemm& problem, void* y, const void* a, const void* b, const void* bias);

}  // namespace lathe::cuda
