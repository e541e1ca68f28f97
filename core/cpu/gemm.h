#pragma once
// Parallel matrix products with the same bits for any number of threads.

#include <span>

#include "core/cpu/isa_gemm.h"
#include "core/dtype.h"
#include "core/parallel.h"

namespace lathe::cpu {

/// What besides the product makes C.
template <Floating T>
struct GemmFusion {
  const T* bias = nullptr;  ///< (n), added to every row; or null
  const T* rows = nullptr;  ///< (m, n), rows as far apart as C's, added; or null. Excludes `accumulate`
  bool gelu = false;        ///< A's elements are mapped first; A is not stored transposed
  T* sums = nullptr;        ///< (m): becomes the sums of op(A) over the terms, A stored transposed; or null
  /// Called once for every part of C as soon as it is complete, while it is in a cache.
  const FunctionRef<void(int64_t row, int64_t rows, int64_t column, int64_t columns)>* done = nullptr;
};

/// C = op(A) op(B) (+ C) with what `fusion` asks for, as GemmShape says. The output is cut into tiles, or a
/// long k into chunks whose partial products are added in order; the cuts depend on m, n and k only.
template <Floating T>
void gemm(T* c, const T* a, const T* b, const GemmShape& shape, const GemmFusion<T>& fusion = {});

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
