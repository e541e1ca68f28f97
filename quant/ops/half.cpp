#include "quant/math/half.h"

#include <algorithm>

#include "quant/ops/check.h"

namespace lathe {

void check_half(const Tensor& w, const char* op) {
  check_values(op, w);
  if (w.device().type != DeviceType::Cpu) return;
  const GroupRange range = group_range(w, 0, op);
  const double largest = std::max(range.hi.item(), -range.lo.item());
  LATHE_CHECK(DivergedError, largest < quant::kBeyondHalf, op, ": a value of magnitude ", largest,
              " is beyond half precision, whose largest is 65504");
}

Var half_quantize(const Var& w) {
  check_half(w.data(), "half_quantize");
  Tensor y = w.data().empty_like();
  kernels::round_to_half(y, w.data());
  return record("half_quantize", y, {w}, {}, [](Backward& b) { b.pass(0, b.dy()); });
}

}  // namespace lathe
