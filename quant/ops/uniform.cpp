#include <algorithm>
#include <cmath>

#include "quant/ops/check.h"

namespace lathe {

GroupRange group_range(const Tensor& w, int64_t group, const char* op) {
  check_values(op, w);
  const int64_t count = group_count(w, group);
  GroupRange range{w.empty_like({count}), w.empty_like({count})};
  kernels::group_range(range.lo, range.hi, w, group);
  if (w.device().type != DeviceType::Cpu) return range;
  dispatch_floating(w.dtype(), op, [&]<class T>() {
    const T* least = range.lo.ptr<T>();
    const bool finite = std::none_of(least, least + count, [](T value) { return std::isnan(value); });
    LATHE_CHECK(DivergedError, finite, op, ": a value is NaN or infinite");
  });
  return range;
}

namespace {

/// On the host; a device's difference is infinite then.
void check_span(const GroupRange& range, const char* op) {
  if (range.lo.device().type != DeviceType::Cpu) return;
  dispatch_floating(range.lo.dtype(), op, [&]<class T>() {
    const T *lo = range.lo.ptr<T>(), *hi = range.hi.ptr<T>();
    for (int64_t g = 0; g < range.lo.numel(); ++g) {
      LATHE_CHECK(DivergedError, std::isfinite(hi[g] - lo[g]), op, ": values from ", lo[g], " to ", hi[g],
                  ": their difference overflows");
    }
  });
}

}  // namespace

GroupRange group_span(const Tensor& w, int64_t group, const char* op) {
  GroupRange range = group_range(w, group, op);
  check_span(range, op);
  return range;
}

Tensor minmax_quantize(const Tensor& w, const GroupRange& range, const Tensor& bits, int64_t group) {
  Tensor y = w.empty_like();
  kernels::minmax_quantize(y, w, range.lo, range.hi, bits, group);
  return y;
}

GroupRange find_range(const Tensor& w, int bits, bool symmetric, int64_t group, const RangeSearch& search,
                      const char* op) {
  GroupRange range = group_range(w, group, op);
  LATHE_CHECK(ConfigError, search.percentile > 50 && search.percentile <= 100, op,
              ": percentile: expected above 50 and at most 100, found ", search.percentile);
  switch (search.kind) {
    case RangeSearch::Kind::MinMax:
      break;
    case RangeSearch::Kind::Percentile:
      kernels::percentile_range(range.lo, range.hi, w, search.percentile, symmetric, group);
      break;
    case RangeSearch::Kind::LeastError:
      kernels::least_error_range(range.lo, range.hi, w, bits, symmetric, group);
      break;
  }
  if (!symmetric) check_span(range, op);
  return range;
}

Var minmax_quantize(const Var& w, int bits, int64_t group, const RangeSearch& search) {
  constexpr const char* kOp = "minmax_quantize";
  check_bits(kOp, bits, 1, 15);
  const Tensor width = Tensor::full({1}, bits, DType::U8, w.data().device());
  const Tensor y =
      minmax_quantize(w.data(), find_range(w.data(), bits, false, group, search, kOp), width, group);
  return record(kOp, y, {w}, {}, [](Backward& b) { b.pass(0, b.dy()); });
}

Var absmax_quantize(const Var& w, int bits, int64_t group, bool through_scale, const RangeSearch& search) {
  constexpr const char* kOp = "absmax_quantize";
  check_bits(kOp, bits, 2, 15);
  LATHE_CHECK(ConfigError, !through_scale || search.kind == RangeSearch::Kind::MinMax, kOp,
              ": a gradient flows through the scale only where it is the largest magnitude");
  const double most = (1 << (bits - 1)) - 1;
  const GroupRange range = find_range(w.data(), bits, true, group, search, kOp);
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
