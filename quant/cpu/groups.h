#pragma once
// Loops over the consecutive groups of a tensor's elements, in pieces that depend on sizes only.

#include <algorithm>
#include <array>

#include "core/parallel.h"
#include "core/tensor.h"

namespace lathe::quant {

/// Elements that are worth a thread, by what is done to them: a formula, a minimum, a random number.
inline constexpr int64_t kPiece = 1 << 15, kCheapPiece = 1 << 17, kNoisePiece = 1 << 14;

/// Groups of `size` elements (0: one group), the last may be shorter. A large group is cut into pieces of one
/// length, at most `piece` and a multiple of 64 that depends on sizes only.
struct Groups {
  int64_t numel, size, piece, pieces;
  Groups(int64_t elements, int64_t group, int64_t most = kPiece)
      : numel(elements), size(std::max<int64_t>(1, elements)) {
    if (group > 0) size = std::min(size, group);
    const int64_t least = chunk_count(size, most);
    piece = least > 1 ? chunk_count(chunk_count(size, least), 64) * 64 : most;
    pieces = chunk_count(size, piece);
  }
  int64_t count() const { return chunk_count(numel, size); }
};

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
  const int64_t pieces = groups.pieces, grain = std::max<int64_t>(1, groups.piece / groups.size);
  parallel_for(groups.count() * pieces, pieces > 1 ? 1 : grain, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t group = task / pieces, begin = group * groups.size,
                    end = std::min(groups.numel, begin + groups.size);
      const int64_t lo = begin + task % pieces * groups.piece, hi = std::min(end, lo + groups.piece);
      if (lo < hi) fn(group, lo, hi);
    }
  });
}

/// Sums over each group: fn(group, lo, hi) gives those of a piece; add(group, sums) gets a group's, in order.
template <size_t K, class Fn, class Add>
void sum_groups(const Groups& groups, const Fn& fn, const Add& add) {
  const int64_t pieces = groups.pieces, sums = static_cast<int64_t>(K);
  Tensor scratch = Tensor::zeros({std::max<int64_t>(1, groups.count() * pieces), sums}, DType::F64);
  double* partial = scratch.mut<double>();
  for_each_piece(groups, [&](int64_t group, int64_t lo, int64_t hi) {
    const std::array<double, K> piece = fn(group, lo, hi);
    std::copy(piece.begin(), piece.end(),
              partial + (group * pieces + (lo - group * groups.size) / groups.piece) * sums);
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
