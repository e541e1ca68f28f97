#pragma once
// Nested loops over a dense tensor and strided operands, with axes merged where every operand allows it.

#include <array>
#include <vector>

#include "core/broadcast.h"

namespace lathe {

/// Axis 0 is the innermost. The dense tensor has extents `extent`; operand k moves by stride[k][i] elements
/// along axis i.
template <int kOperands>
struct LoopNest {
  int rank = 0;
  std::array<int64_t, Shape::kMaxRank> extent{};
  std::array<std::array<int64_t, Shape::kMaxRank>, kOperands> stride{};

  /// Adds the next outer axis.
  void push(int64_t n, const std::array<int64_t, kOperands>& strides) {
    if (n == 1) return;
    bool merges = rank > 0;
    for (int k = 0; k < kOperands && merges; ++k) {
      merges = strides[k] == stride[k][rank - 1] * extent[rank - 1];
    }
    if (merges) {
      extent[rank - 1] *= n;
      return;
    }
    extent[rank] = n;
    for (int k = 0; k < kOperands; ++k) stride[k][rank] = strides[k];
    ++rank;
  }

  int64_t inner() const { return rank > 0 ? extent[0] : 1; }
  /// Product of the extents from axis i outwards.
  int64_t outer(int i) const {
    int64_t n = 1;
    for (; i < rank; ++i) n *= extent[i];
    return n;
  }
  /// Offsets of the operands at position `index` of the axes from `first` outwards.
  std::array<int64_t, kOperands> offsets(int64_t index, int first) const {
    std::array<int64_t, kOperands> at{};
    for (int i = first; i < rank; ++i) {
      const int64_t position = index % extent[i];
      index /= extent[i];
      for (int k = 0; k < kOperands; ++k) at[k] += position * stride[k][i];
    }
    return at;
  }
};

/// Operands stretched to `y`'s shape.
template <class... Shapes>
LoopNest<sizeof...(Shapes)> broadcast_nest(const Shape& y, const Shapes&... operands) {
  constexpr int kOperands = sizeof...(Shapes);
  const std::array<const Shape*, kOperands> shapes{&operands...};
  std::array<int64_t, kOperands> dense;
  dense.fill(1);
  LoopNest<kOperands> nest;
  for (int i = 1; i <= y.rank(); ++i) {
    std::array<int64_t, kOperands> strides{};
    for (int k = 0; k < kOperands; ++k) {
      const int64_t n = i <= shapes[k]->rank() ? (*shapes[k])[-i] : 1;
      if (n != 1) strides[k] = dense[k];
      dense[k] *= n;
    }
    nest.push(y[-i], strides);
  }
  return nest;
}

/// Operand 0 of y's elements is x's: axis i of y is axis axes[i] of x.
inline LoopNest<1> permuted_nest(const Shape& y, const Shape& x, const std::vector<int>& axes) {
  std::array<int64_t, Shape::kMaxRank> stride{};
  int64_t dense = 1;
  for (int i = x.rank() - 1; i >= 0; --i) {
    stride[i] = dense;
    dense *= x[i];
  }
  LoopNest<1> nest;
  for (int i = y.rank() - 1; i >= 0; --i) nest.push(y[i], {stride[axes[i]]});
  return nest;
}

/// A tensor seen as (outer, extent, inner) around an axis.
struct Around {
  int64_t outer = 1, extent, inner = 1;
  Around(const Shape& shape, int axis) : extent(shape[axis]) {
    for (int i = 0; i < axis; ++i) outer *= shape[i];
    for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  }
};

}  // namespace lathe
