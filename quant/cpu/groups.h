#pragma once
// Loops over the consecutive groups of a tensor's elements, in pieces that depend on sizes only.

#include <algorithm>
#include <array>

#include "core/parallel.h"
#include "core/tensor.h"

namespace lathe::quant {

/// Groups of `size` elements (0: one group), the last may be shorter.
struct Groups {
  int64_t numel;
  int64_t size;
  Groups(int64_t elements, int64_t group)
      : numel(elements), size(group > 0 ? group : std::max<int64_t>(1, elements)) {}
  int64_t count() const { return chunk_count(numel, size); }
};

inline constexpr int64_t kPiece = 1 << 14;

/// A parameter of groups: one for all, or one each.
template <class T>
struct PerGroup {
  const T* values;
  int64_t step;
  explicit PerGroup(const Tensor& tensor) : values(tensor.ptr<T>()), step(tensor.numel() == 1 ? 0 : 1) {}
  T operator[](int64_t group) const { return values[group * step]; }
};

/// fn(group, lo, hi): the elements of each group, cut into pieces, in parallel.
template <class Fn>
void for_each_piece(const Groups& groups, const Fn& fn) {
  const int64_t pieces = chunk_count(groups.size, kPiece);
  const int64_t grain = std::max<int64_t>(1, kPiece / groups.size);
  parallel_for(groups.count() * pieces, pieces > 1 ? 1 : grain, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t group = task / pieces, begin = group * groups.size,
                    end = std::min(groups.numel, begin + groups.size);
      const int64_t lo = begin + task % pieces * kPiece, hi = std::min(end, lo + kPiece);
      if (lo < hi) fn(group, lo, hi);
    }
  });
}

/// Sums over each group: fn(group, lo, hi) gives those of a piece; add(group, sums) gets a group's, in order.
template <size_t K, class Fn, class Add>
void sum_groups(const Groups& groups, const Fn& fn, const Add& add) {
  const int64_t pieces = chunk_count(groups.size, kPiece), sums = static_cast<int64_t>(K);
  Tensor scratch = Tensor::zeros({std::max<int64_t>(1, groups.count() * pieces), sums}, DType::F64);
  double* partial = scratch.mut<double>();
  for_each_piece(groups, [&](int64_t group, int64_t lo, int64_t hi) {
    const std::array<double, K> piece = fn(group, lo, hi);
    std::copy(piece.begin(), piece.end(),
              partial + (group * pieces + (lo - group * groups.size) / kPiece) * sums);
  });
  for (int64_t group = 0; group < groups.count(); ++group) {
    std::array<double, K> total{};
    for (int64_t p = 0; p < pieces; ++p) {
      for (size_t k = 0; k < K; ++k)
        total[k] += partial[(group * pieces + p) * sums + static_cast<int64_t>(k)];
    }
    add(group, total);
  }
}

}  // namespace lathe::quant
