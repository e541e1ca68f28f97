#pragma once
// Shape of a contiguous row-major tensor.

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace lathe {

/// Up to kMaxRank non-negative extents, outermost first. Rank 0 is a scalar (one element).
/// Invariant: numel() fits in int64_t (checked on construction, ShapeError).
class Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  int64_t numel() const { return numel_; }
  /// Extent of axis i; negative i counts from the end. Throws ShapeError out of range.
  int64_t operator[](int i) const { return dims_[axis(i)]; }
  /// i as a non-negative axis; ShapeError out of range.
  int axis(int i) const;

  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  std::span<const int64_t> dims() const { return {begin(), end()}; }

  /// The same shape with axis i set to n.
  Shape with(int i, int64_t n) const;

  bool operator==(const Shape& other) const;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
  int64_t numel_ = 1;
};

/// "(2, 3, 32, 32)"
std::string to_string(const Shape& shape);

}  // namespace lathe
