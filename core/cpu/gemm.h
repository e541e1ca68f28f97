#pragma once
// Parallel matrix products with the same bits for any number of threads.

#include <span>

#include "core/cpu/isa_gemm.h"
#include "core/dtype.h"

namespace lathe::cpu {

/// C = op(A) op(B) (+ C) as GemmShape says; `bias` (n) or null is added to every row and excludes
/// `accumulate`. The output is cut into tiles, or a long k into chunks whose partial products are added in
/// order; the cuts depend on m, n and k only.
template <Floating T>
void gemm(T* c, const T* a, const T* b, const GemmShape& shape, const T* bias = nullptr);

/// Where the operands of one product of a batch begin, in elements.
struct GemmOffsets {
  int64_t a = 0, b = 0, c = 0;
};

/// One product of `shape` per entry of `items`. Each run of `terms` consecutive items has one c and is summed
/// in its order.
template <Floating T>
void batched_gemm(T* c, const T* a, const T* b, const GemmShape& shape, std::span<const GemmOffsets> items,
                  int64_t terms);

/// The serial product, for tasks that are parallel themselves.
template <Floating T>
void serial_gemm(T* c, const T* a, const T* b, const GemmShape& shape);

}  // namespace lathe::cpu
