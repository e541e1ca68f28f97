#include "core/shape.h"

#include <algorithm>

#include "core/error.h"

namespace lathe {

Shape::Shape(std::initializer_list<int64_t> dims)
    : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  LATHE_CHECK(ShapeError, dims.size() <= kMaxRank, "shape: rank ", dims.size(), ", the most is ", kMaxRank);
  bool empty = false;
  for (int i = 0; i < rank_; ++i) {
    LATHE_CHECK(ShapeError, dims[i] >= 0, "shape: extent ", dims[i], " of axis ", i, " is negative");
    dims_[i] = dims[i];
    empty = empty || dims[i] == 0;
  }
  if (empty) {
    numel_ = 0;
    return;
  }
  for (int i = 0; i < rank_; ++i) {
    LATHE_CHECK(ShapeError, !__builtin_mul_overflow(numel_, dims_[i], &numel_),
                "shape: the number of elements does not fit in 63 bits");
  }
}

int Shape::axis(int i) const {
  const int axis = i < 0 ? i + rank_ : i;
  LATHE_CHECK(ShapeError, axis >= 0 && axis < rank_, "axis ", i, " of shape ", *this, " of rank ", rank_);
  return axis;
}

Shape Shape::with(int i, int64_t n) const {
  std::array<int64_t, kMaxRank> dims = dims_;
  dims[axis(i)] = n;
  return Shape(std::span<const int64_t>(dims.data(), static_cast<size_t>(rank_)));
}

bool Shape::operator==(const Shape& other) const {
  return rank_ == other.rank_ && std::equal(begin(), end(), other.begin());
}

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (int i = 0; i < shape.rank(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + ")";
}

}  // namespace lathe
