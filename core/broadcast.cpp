#include "core/broadcast.h"

#include <algorithm>

#include "core/error.h"

namespace lathe {

Shape broadcast_shape(const char* op, const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  std::array<int64_t, Shape::kMaxRank> dims{};
  for (int i = 0; i < rank; ++i) {
    const int64_t m = i < a.rank() ? a[a.rank() - 1 - i] : 1;
    const int64_t n = i < b.rank() ? b[b.rank() - 1 - i] : 1;
    LATHE_CHECK(ShapeError, m == n || m == 1 || n == 1, op, ": shapes ", a, " and ", b, " do not broadcast");
    dims[rank - 1 - i] = m == 1 ? n : m;
  }
  return Shape(std::span<const int64_t>(dims.data(), static_cast<size_t>(rank)));
}

AxisMask stretched_axes(const Shape& from, const Shape& to) {
  const int missing = to.rank() - from.rank();
  LATHE_ASSERT(missing >= 0);
  AxisMask mask = 0;
  for (int i = 0; i < to.rank(); ++i) {
    if (i < missing || from[i - missing] != to[i]) mask |= AxisMask{1} << i;
  }
  return mask;
}

}  // namespace lathe
