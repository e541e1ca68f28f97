#pragma once
// What a sum over axes does to a shape.

#include <array>

#include "core/broadcast.h"

namespace lathe {

/// Axes of a shape, reduced or kept: neighbours of one fate together, outermost first; extents of 1 left out.
class AxisGroups {
 public:
  AxisGroups(const Shape& shape, AxisMask axes) {
    for (int i = 0; i < shape.rank(); ++i) {
      if (shape[i] != 1) push({shape[i], (axes >> i & 1) != 0});
    }
  }
  int reduced() const {
    int n = 0;
    for (int i = 0; i < size_; ++i) n += groups_[i].reduced ? 1 : 0;
    return n;
  }
  int innermost_reduced() const {
    int i = size_ - 1;
    while (!groups_[i].reduced) --i;
    return i;
  }
  int64_t extent(int lo, int hi) const {
    int64_t n = 1;
    for (; lo < hi; ++lo) n *= groups_[lo].extent;
    return n;
  }
  int size() const { return size_; }
  void erase(int index) {
    AxisGroups rest;
    for (int i = 0; i < size_; ++i) {
      if (i != index) rest.push(groups_[i]);
    }
    *this = rest;
  }

 private:
  struct Group {
    int64_t extent;
    bool reduced;
  };

  AxisGroups() = default;
  void push(Group group) {
    if (size_ > 0 && groups_[size_ - 1].reduced == group.reduced) {
      groups_[size_ - 1].extent *= group.extent;
    } else {
      groups_[size_++] = group;
    }
  }
  std::array<Group, Shape::kMaxRank> groups_{};
  int size_ = 0;
};

}  // namespace lathe
