// Ranges, levels and steps that methods compute between looking at values.

#include <algorithm>

#include "core/dispatch.h"
#include "quant/kernels.h"
#include "quant/math/dq.h"
#include "quant/math/minmax.h"
#include "quant/math/quant_noise.h"

namespace lathe::kernels::cpu {

void follow_range(Tensor& running_lo, Tensor& running_hi, const Tensor& lo, const Tensor& hi, double keep) {
  dispatch_floating(running_lo.dtype(), "follow_range", [&]<class T>() {
    T &least = running_lo.mut<T>()[0], &most = running_hi.mut<T>()[0];
    const double now_lo = std::min(static_cast<double>(lo.ptr<T>()[0]), 0.0),
                 now_hi = std::max(static_cast<double>(hi.ptr<T>()[0]), 0.0);
    least = static_cast<T>(quant::running_bound(static_cast<double>(least), now_lo, keep));
    most = static_cast<T>(quant::running_bound(static_cast<double>(most), now_hi, keep));
  });
}

void range_levels(Tensor& step, Tensor& zero, const Tensor& lo, const Tensor& hi, double levels,
                  double least) {
  dispatch_floating(step.dtype(), "range_levels", [&]<class T>() {
    const double from = static_cast<double>(lo.ptr<T>()[0]);
    const double made = quant::level_step(from, static_cast<double>(hi.ptr<T>()[0]), levels, least);
    step.mut<T>()[0] = static_cast<T>(made);
    zero.mut<T>()[0] = static_cast<T>(-from / made);
  });
}

void zero_point_grids(Tensor& scale, Tensor& zero, const Tensor& lo, const Tensor& hi, double levels) {
  dispatch_floating(scale.dtype(), "zero_point_grids", [&]<class T>() {
    T *scales = scale.mut<T>(), *zeros = zero.mut<T>();
    for (int64_t g = 0; g < scale.numel(); ++g) {
      const auto made = quant::zero_point_grid(lo.ptr<T>()[g], hi.ptr<T>()[g], static_cast<T>(levels));
      scales[g] = made.scale;
      zeros[g] = made.zero;
    }
  });
}

void dq_unit(Tensor& unit, Tensor& slope, const Tensor& step) {
  dispatch_floating(step.dtype(), "dq_unit", [&]<class T>() {
    const T raw = step.ptr<T>()[0], made = quant::dq_power_step(raw);
    unit.mut<T>()[0] = made;
    slope.mut<T>()[0] = static_cast<T>(static_cast<double>(made) / static_cast<double>(raw));
  });
}

void dq_whole_range(Tensor& y, const Tensor& step, const Tensor& range) {
  dispatch_floating(range.dtype(), "dq_whole_range", [&]<class T>() {
    y.mut<T>()[0] = quant::dq_whole_range(step.ptr<T>()[0], range.ptr<T>()[0]);
  });
}

void dq_size(Tensor& y, Tensor& slopes, const Tensor& step, const Tensor& range, int64_t numel,
             const DqShape& shape) {
  dispatch_floating(range.dtype(), "dq_size", [&]<class T>() {
    const auto size =
        quant::dq_size(static_cast<double>(step.ptr<T>()[0]), static_cast<double>(range.ptr<T>()[0]),
                       static_cast<double>(numel), shape.power_of_two, shape.is_signed);
    y.mut<T>()[0] = static_cast<T>(size.bits);
    slopes.mut<double>()[0] = size.step;
    slopes.mut<double>()[1] = size.range;
  });
}

void dq_size_backward(Tensor& dstep, Tensor& drange, const Tensor& dy, const Tensor& slopes) {
  dispatch_floating(dy.dtype(), "dq_size", [&]<class T>() {
    const double up = static_cast<double>(dy.ptr<T>()[0]);
    if (dstep.defined()) dstep.mut<T>()[0] = static_cast<T>(up * slopes.ptr<double>()[0]);
    if (drange.defined()) drange.mut<T>()[0] = static_cast<T>(up * slopes.ptr<double>()[1]);
  });
}

void dq_bound(Tensor& step, Tensor& range, const DqShape& shape, double least_code, double most_code) {
  dispatch_floating(step.dtype(), "dq_bound", [&]<class T>() {
    T &s = step.mut<T>()[0], &r = range.mut<T>()[0];
    const auto bounded = quant::dq_bounded(static_cast<float>(s), static_cast<float>(r), shape.power_of_two,
                                           static_cast<float>(least_code), static_cast<float>(most_code));
    s = static_cast<T>(bounded.step);
    r = static_cast<T>(bounded.range);
  });
}

void clip_to_step(Tensor& y, const Tensor& x, const Tensor& step) {
  dispatch_floating(x.dtype(), "clip_to_step", [&]<class T>() {
    const T most = static_cast<T>(static_cast<float>(step.ptr<T>()[0]));
    for (int64_t i = 0; i < x.numel(); ++i) y.mut<T>()[i] = quant::clip(x.ptr<T>()[i], -most, most);
  });
}

void drop_if_unused(Tensor& gradient, const Tensor& used) {
  dispatch_floating(gradient.dtype(), "drop_if_unused", [&]<class T>() {
    const T* x = used.ptr<T>();  // the first element tells, unless all are 0
    if (!std::all_of(x, x + used.numel(), [](T value) { return value == T(0); })) return;
    std::fill_n(gradient.mut<T>(), gradient.numel(), T(0));
  });
}

}  // namespace lathe::kernels::cpu
