#pragma once
// Per-channel sums over fixed chunks of rows: how long a chunk is, where its partial sums lie, and their sum.

#include <algorithm>
#include <vector>

#include "core/cpu/isa_norm.h"
#include "core/parallel.h"
#include "core/tensor.h"

namespace lathe::cpu {

/// All rows of a tensor (..., C).
inline RowChunk rows_of(const Tensor& x) {
  const int64_t c = x.dim(-1);
  return {c == 0 ? 0 : x.numel() / c, c};
}

/// Rows of one chunk: about 32768 values, so that a chunk's operands fit a core's cache; at least 64 rows, so
/// that partial sums stay small beside the data.
inline int64_t chunk_rows(RowChunk all) {
  return std::max<int64_t>(64, 32768 / std::max<int64_t>(1, all.channels));
}

/// Partial sums in double: `kinds` sums per channel for each chunk.
struct ChannelParts {
  int64_t rows;    ///< of one chunk
  int64_t chunks;  ///< at least one
  int64_t size;    ///< doubles per chunk

  ChannelParts(RowChunk all, int64_t kinds)
      : rows(chunk_rows(all)),
        chunks(std::max<int64_t>(1, chunk_count(all.rows, rows))),
        size(kinds * all.channels) {}

  /// Zero where no chunk writes, that is, for no rows at all.
  Tensor scratch() const { return Tensor::zeros({chunks, size}, DType::F64); }
  /// Sums of the chunk that begins at row `lo`.
  double* at(double* part, int64_t lo) const { return part + lo / rows * size; }
  /// The sums of all chunks, added in order.
  std::vector<double> total(const double* part) const { return total_of(part, chunks, size); }

  /// The sum of `count` arrays of `size`, one after another.
  static std::vector<double> total_of(const double* part, int64_t count, int64_t size) {
    std::vector<double> sum(part, part + size);
    for (int64_t chunk = 1; chunk < count; ++chunk) {
      const double* other = part + chunk * size;
      for (int64_t j = 0; j < size; ++j) sum[static_cast<size_t>(j)] += other[j];
    }
    return sum;
  }
};

/// Means and sums of squared distances from them (c and c values) of `rows` rows become those of `rows` +
/// `other_rows` rows (Chan et al. 1979).
inline void combine_moments(double* moments, int64_t rows, const double* other, int64_t other_rows,
                            int64_t c) {
  const double share = static_cast<double>(other_rows) / static_cast<double>(rows + other_rows);
  for (int64_t j = 0; j < c; ++j) {
    const double delta = other[j] - moments[j];
    moments[j] += delta * share;
    moments[c + j] += other[c + j] + delta * delta * share * static_cast<double>(rows);
  }
}

/// Means of the rows of x, then sums of squared distances from them: 2 channels values.
template <class T>
std::vector<double> moments_of(const T* x, RowChunk all);
/// Sums over all rows of g, then of g (x - mean).
template <class T>
std::vector<double> gradient_sums_of(const GradientRows<T>& operands, RowChunk all);
/// dx and dresidual of all rows.
template <class T>
void all_gradient_rows(const GradientRows<T>& operands, RowChunk all);
/// y of all rows.
template <class T>
void all_affine_rows(const AffineRows<T>& operands, RowChunk all);

}  // namespace lathe::cpu
