// Ranges, levels and steps that methods compute between looking at values.

#include "cuda/quant/groups.cuh"
#include "quant/kernels.h"
#include "quant/math/dq.h"
#include "quant/math/minmax.h"
#include "quant/math/quant_noise.h"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

LaunchShape one_thread() {
  return block_each(1, 1);
}

template <class T>
__global__ void follow(T* least, T* most, const T* lo, const T* hi, double keep) {
  const double now_lo = static_cast<double>(*lo), now_hi = static_cast<double>(*hi);
  // NaN stays.
  *least = static_cast<T>(quant::running_bound(static_cast<double>(*least), now_lo > 0 ? 0.0 : now_lo, keep));
  *most = static_cast<T>(quant::running_bound(static_cast<double>(*most), now_hi < 0 ? 0.0 : now_hi, keep));
}

template <class T>
__global__ void levels_of(T* step, T* zero, const T* lo, const T* hi, double levels, double least) {
  const double from = static_cast<double>(*lo);
  const double made = quant::level_step(from, static_cast<double>(*hi), levels, least);
  *step = static_cast<T>(made);
  *zero = static_cast<T>(-from / made);
}

/// A range of NaN gives a scale of NaN.
template <class T>
__global__ void grids_of(int64_t n, T* scale, T* zero, const T* lo, const T* hi, T levels) {
  for (int64_t g = thread_index(); g < n; g += thread_count()) {
    const auto made = quant::zero_point_grid(lo[g], hi[g], levels);
    scale[g] = lo[g] != lo[g] ? lo[g] : made.scale;
    zero[g] = made.zero;
  }
}

template <class T>
__global__ void unit_of(T* unit, T* slope, const T* step) {
  const T made = quant::dq_power_step(*step);
  *unit = made;
  *slope = static_cast<T>(static_cast<double>(made) / static_cast<double>(*step));
}

template <class T>
__global__ void whole_range_of(T* y, const T* step, const T* range) {
  *y = quant::dq_whole_range(*step, *range);
}

template <class T>
__global__ void size_of_codes(T* y, double* slopes, const T* step, const T* range, double count,
                              bool power_of_two, bool is_signed) {
  const auto size =
      quant::dq_size(static_cast<double>(*step), static_cast<double>(*range), count, power_of_two, is_signed);
  *y = static_cast<T>(size.bits);
  slopes[0] = size.step;
  slopes[1] = size.range;
}

template <class T>
__global__ void size_gradients(T* dstep, T* drange, const T* dy, const double* slopes) {
  const double up = static_cast<double>(*dy);
  if (dstep != nullptr) *dstep = static_cast<T>(up * slopes[0]);
  if (drange != nullptr) *drange = static_cast<T>(up * slopes[1]);
}

template <class T>
__global__ void bound(T* step, T* range, bool power_of_two, float least_code, float most_code) {
  const auto bounded = quant::dq_bounded(static_cast<float>(*step), static_cast<float>(*range), power_of_two,
                                         least_code, most_code);
  *step = static_cast<T>(bounded.step);
  *range = static_cast<T>(bounded.range);
}

template <class T>
struct ClipToStep {
  const T* step;
  __device__ T group(int64_t) const { return static_cast<T>(static_cast<float>(*step)); }
  __device__ T value(T most, int64_t, T x, T) const { return quant::clip(x, -most, most); }
};

/// How many elements are not 0.
template <class T>
struct CountUsed : SumFn<1> {
  double* count;
  explicit CountUsed(double* to) : count(to) {}
  __device__ bool group(int64_t) const { return true; }
  __device__ T element(bool, int64_t, T x, T, double (&v)[1]) const {
    v[0] += x != T(0) ? 1 : 0;
    return x;
  }
  __device__ void finish(int64_t, const double (&v)[1]) const { *count = v[0]; }
};

template <class T>
struct KeepIfAny {
  const double* count;
  __device__ bool group(int64_t) const { return *count != 0; }
  __device__ T value(bool any, int64_t, T x, T) const { return any ? x : T(0); }
};

}  // namespace

void follow_range(Tensor& running_lo, Tensor& running_hi, const Tensor& lo, const Tensor& hi, double keep) {
  dispatch_floating(running_lo.dtype(), "follow_range", [&]<class T>() {
    launch(follow<T>, one_thread(), running_lo.mut<T>(), running_hi.mut<T>(), lo.ptr<T>(), hi.ptr<T>(), keep);
  });
}

void range_levels(Tensor& step, Tensor& zero, const Tensor& lo, const Tensor& hi, double levels,
                  double least) {
  dispatch_floating(step.dtype(), "range_levels", [&]<class T>() {
    launch(levels_of<T>, one_thread(), step.mut<T>(), zero.mut<T>(), lo.ptr<T>(), hi.ptr<T>(), levels, least);
  });
}

void zero_point_grids(Tensor& scale, Tensor& zero, const Tensor& lo, const Tensor& hi, double levels) {
  dispatch_floating(scale.dtype(), "zero_point_grids", [&]<class T>() {
    launch(grids_of<T>, over(scale.numel()), scale.numel(), scale.mut<T>(), zero.mut<T>(), lo.ptr<T>(),
           hi.ptr<T>(), static_cast<T>(levels));
  });
}

void dq_unit(Tensor& unit, Tensor& slope, const Tensor& step) {
  dispatch_floating(step.dtype(), "dq_unit", [&]<class T>() {
    launch(unit_of<T>, one_thread(), unit.mut<T>(), slope.mut<T>(), step.ptr<T>());
  });
}

void dq_whole_range(Tensor& y, const Tensor& step, const Tensor& range) {
  dispatch_floating(range.dtype(), "dq_whole_range", [&]<class T>() {
    launch(whole_range_of<T>, one_thread(), y.mut<T>(), step.ptr<T>(), range.ptr<T>());
  });
}

void dq_size(Tensor& y, Tensor& slopes, const Tensor& step, const Tensor& range, int64_t numel,
             const DqShape& shape) {
  dispatch_floating(range.dtype(), "dq_size", [&]<class T>() {
    launch(size_of_codes<T>, one_thread(), y.mut<T>(), slopes.mut<double>(), step.ptr<T>(), range.ptr<T>(),
           static_cast<double>(numel), shape.power_of_two, shape.is_signed);
  });
}

void dq_size_backward(Tensor& dstep, Tensor& drange, const Tensor& dy, const Tensor& slopes) {
  dispatch_floating(dy.dtype(), "dq_size", [&]<class T>() {
    launch(size_gradients<T>, one_thread(), optional_mut<T>(dstep), optional_mut<T>(drange), dy.ptr<T>(),
           slopes.ptr<double>());
  });
}

void dq_bound(Tensor& step, Tensor& range, const DqShape& shape, double least_code, double most_code) {
  dispatch_floating(step.dtype(), "dq_bound", [&]<class T>() {
    launch(bound<T>, one_thread(), step.mut<T>(), range.mut<T>(), shape.power_of_two,
           static_cast<float>(least_code), static_cast<float>(most_code));
  });
}

void clip_to_step(Tensor& y, const Tensor& x, const Tensor& step) {
  dispatch_floating(x.dtype(), "clip_to_step", [&]<class T>() {
    map_groups(GroupSpan(x.numel(), 0), ClipToStep<T>{step.ptr<T>()}, y.mut<T>(), x.ptr<T>());
  });
}

void drop_if_unused(Tensor& gradient, const Tensor& used) {
  dispatch_floating(gradient.dtype(), "drop_if_unused", [&]<class T>() {
    Tensor count = Tensor::empty({1}, DType::F64, current_device());
    reduce_groups(GroupSpan(used.numel(), 0), CountUsed<T>(count.mut<double>()), static_cast<T*>(nullptr),
                  used.ptr<T>());
    T* y = gradient.mut<T>();
    map_groups(GroupSpan(gradient.numel(), 0), KeepIfAny<T>{count.ptr<double>()}, y,
               static_cast<const T*>(y));
  });
}

}  // namespace lathe::kernels::cuda
