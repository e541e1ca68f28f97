#include <algorithm>
#include <cmath>

#include "quant/ops/check.h"

namespace lathe {

GroupRange group_range(const Tensor& w, int64_t group, const char* op) {
  check_values(op, w);
  const int64_t count = group_count(w, group);
  GroupRange range{w.empty_like({count}), w.empty_like({count})};
  kernels::group_range(range.lo, range.hi, w, group);
  if (w.device().type == DeviceType::Meta) return range;
  const Tensor lo = range.lo.to(Device::cpu());
  dispatch_floating(lo.dtype(), op, [&]<class T>() {
    const T* least = lo.ptr<T>();
    const bool finite = std::none_of(least, least + count, [](T value) { return std::isnan(value); });
    LATHE_CHECK(DivergedError, finite, op, ": a value is NaN or infinite");
  });
  return range;
}

Tensor minmax_quantize(const Tensor& w, const GroupRange& range, const Tensor& bits, int64_t group) {
  Tensor y = w.empty_like();
  kernels::minmax_quantize(y, w, range.lo, range.hi, bits, group);
  return y;
}

Var minmax_quantize(const Var& w, int bits, int64_t group) {
  constexpr const char* kOp = "minmax_quantize";
  check_bits(kOp, bits, 1, 15);
  const Tensor width = Tensor::full({1}, bits, DType::U8, w.data().device());
  const Tensor y = minmax_quantize(w.data(), group_range(w.data(), group, kOp), width, group);
  return record(kOp, y, {w}, {}, [](Backward& b) { b.pass(0, b.dy()); });
}

Var absmax_quantize(const Var& w, int bits, int64_t group, bool through_scale) {
  constexpr const char* kOp = "absmax_quantize";
  check_bits(kOp, bits, 2, 15);
  const double most = (1 << (bits - 1)) - 1;
  const GroupRange range = group_range(w.data(), group, kOp);
  Tensor scale = range.hi.empty_like();
  kernels::absmax_scale(scale, range.lo, range.hi, most);
  Tensor y = w.data().empty_like();
  kernels::absmax_quantize(y, w.data(), scale, most, group);
  if (!through_scale) return record(kOp, y, {w}, {}, [](Backward& b) { b.pass(0, b.dy()); });
  return record(kOp, y, {w}, Saved{w.data(), scale}, [most, group](Backward& b) {
    kernels::absmax_backward(b.dx(0), b.dy(), b.saved(0), b.saved(1), most, group);
  });
}

}  // namespace lathe
