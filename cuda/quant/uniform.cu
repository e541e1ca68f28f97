// Ranges, minmax and absmax.

#include "cuda/quant/groups.cuh"
#include "quant/kernels.h"
#include "quant/math/absmax.h"
#include "quant/math/minmax.h"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

/// The largest of -x and of x; NaN wins, and infinities count as NaN.
template <class T>
struct Range {
  using V = T;
  static constexpr int kCount = 2;
  static __device__ V none(int) { return -T(INFINITY); }
  static __device__ V join(int, V a, V b) { return Max::of(a, b); }

  T *lo, *hi;
  __device__ bool group(int64_t) const { return true; }
  __device__ T element(bool, int64_t, T x, T, V (&v)[2]) const {
    const T poison = x - x;  // 0, but NaN for infinities and NaN
    v[0] = join(0, v[0], poison - x);
    v[1] = join(1, v[1], poison + x);
    return x;
  }
  // Without the sign of a zero.
  __device__ void finish(int64_t g, const V (&v)[2]) const {
    lo[g] = T(0) - v[0];
    hi[g] = v[1] + T(0);
  }
};

template <class T>
struct MeanMagnitude : SumFn<1> {
  GroupSpan s;
  T* y;
  MeanMagnitude(const GroupSpan& span, T* out) : s(span), y(out) {}
  __device__ bool group(int64_t) const { return true; }
  __device__ T element(bool, int64_t, T x, T, double (&v)[1]) const {
    v[0] += ::fabs(static_cast<double>(x));
    return x;
  }
  __device__ void finish(int64_t g, const double (&v)[1]) const {
    y[g] = static_cast<T>(v[0] / static_cast<double>(s.end(g) - s.begin(g)));
  }
};

template <class T>
struct Minmax {
  PerGroup<T> lo, hi;
  PerGroup<uint8_t> bits;
  Minmax(const Tensor& least, const Tensor& most, const Tensor& width) : lo(least), hi(most), bits(width) {}
  struct Shared {
    T levels, range, min;
  };
  __device__ Shared group(int64_t g) const {
    return {static_cast<T>((1 << bits[g]) - 1), hi[g] - lo[g], lo[g]};
  }
  __device__ T value(const Shared& s, int64_t, T w, T) const {
    return quant::minmax_value(w, s.levels, s.range, s.min);
  }
};

template <class T>
__device__ __forceinline__ T largest_magnitude(T lo, T hi) {
  return hi < -lo ? -lo : hi;
}

template <class T>
__global__ void scales_of(int64_t n, T* scale, const T* lo, const T* hi, T most) {
  for (int64_t g = thread_index(); g < n; g += thread_count())
    scale[g] = largest_magnitude(lo[g], hi[g]) / most;
}

template <class T>
struct Absmax {
  PerGroup<T> scale;
  T most;
  Absmax(const Tensor& scales, double bound) : scale(scales), most(static_cast<T>(bound)) {}
  __device__ T group(int64_t g) const { return scale[g]; }
  __device__ T value(T s, int64_t, T w, T) const { return quant::absmax_value(w, s, most); }
};

/// The share of a largest element in the scale's gradient.
template <class T>
struct AbsmaxShare : SumFn<2> {
  PerGroup<T> scale;
  const T *lo, *hi;
  double most;
  T* share;
  AbsmaxShare(const Tensor& scales, const T* least, const T* largest, double bound, T* out)
      : scale(scales), lo(least), hi(largest), most(bound), share(out) {}
  struct Shared {
    T scale, limit;
  };
  __device__ Shared group(int64_t g) const { return {scale[g], largest_magnitude(lo[g], hi[g])}; }
  __device__ T element(const Shared& s, int64_t, T w, T dy, double (&v)[2]) const {
    v[0] +=
        static_cast<double>(dy) * static_cast<double>(quant::absmax_dscale(w, s.scale, static_cast<T>(most)));
    v[1] += quant::magnitude(w) == s.limit ? 1 : 0;
    return w;
  }
  __device__ void finish(int64_t g, const double (&v)[2]) const {
    share[g] = static_cast<T>(v[0] / most / v[1]);
  }
};

template <class T>
struct AbsmaxGradient {
  const T *lo, *hi, *share;
  AbsmaxGradient(const T* least, const T* largest, const T* shares) : lo(least), hi(largest), share(shares) {}
  struct Shared {
    T limit, share;
  };
  __device__ Shared group(int64_t g) const { return {largest_magnitude(lo[g], hi[g]), share[g]}; }
  __device__ T value(const Shared& s, int64_t, T w, T dy) const {
    return dy + (quant::magnitude(w) == s.limit ? quant::sign(w) * s.share : T(0));
  }
};

}  // namespace

void group_range(Tensor& lo, Tensor& hi, const Tensor& w, int64_t group) {
  dispatch_floating(w.dtype(), "group_range", [&]<class T>() {
    reduce_groups(GroupSpan(w.numel(), group), Range<T>{lo.mut<T>(), hi.mut<T>()}, static_cast<T*>(nullptr),
                  w.ptr<T>());
  });
}

void group_mean_magnitude(Tensor& y, const Tensor& w, int64_t group) {
  dispatch_floating(w.dtype(), "group_mean_magnitude", [&]<class T>() {
    const GroupSpan s(w.numel(), group);
    reduce_groups(s, MeanMagnitude<T>(s, y.mut<T>()), static_cast<T*>(nullptr), w.ptr<T>());
  });
}

void minmax_quantize(Tensor& y, const Tensor& w, const Tensor& lo, const Tensor& hi, const Tensor& bits,
                     int64_t group) {
  dispatch_floating(w.dtype(), "minmax_quantize", [&]<class T>() {
    map_groups(GroupSpan(w.numel(), group), Minmax<T>(lo, hi, bits), y.mut<T>(), w.ptr<T>());
  });
}

void absmax_scale(Tensor& scale, const Tensor& lo, const Tensor& hi, double most) {
  dispatch_floating(scale.dtype(), "absmax_scale", [&]<class T>() {
    launch(scales_of<T>, over(scale.numel()), scale.numel(), scale.mut<T>(), lo.ptr<T>(), hi.ptr<T>(),
           static_cast<T>(most));
  });
}

void absmax_quantize(Tensor& y, const Tensor& w, const Tensor& scale, double most, int64_t group) {
  dispatch_floating(w.dtype(), "absmax_quantize", [&]<class T>() {
    map_groups(GroupSpan(w.numel(), group), Absmax<T>(scale, most), y.mut<T>(), w.ptr<T>());
  });
}

void absmax_backward(Tensor& dw, const Tensor& dy, const Tensor& w, const Tensor& scale, double most,
                     int64_t group) {
  const GroupSpan s(w.numel(), group);
  Tensor found = Tensor::empty({3, s.count}, w.dtype(), current_device());
  Tensor lo = found.rows(0, 1), hi = found.rows(1, 2), share = found.rows(2, 3);
  group_range(lo, hi, w, group);
  dispatch_floating(w.dtype(), "absmax_backward", [&]<class T>() {
    reduce_groups(s, AbsmaxShare<T>(scale, lo.ptr<T>(), hi.ptr<T>(), most, share.mut<T>()),
                  static_cast<T*>(nullptr), w.ptr<T>(), dy.ptr<T>());
    map_groups(s, AbsmaxGradient<T>(lo.ptr<T>(), hi.ptr<T>(), share.ptr<T>()), dw.mut<T>(), w.ptr<T>(),
               dy.ptr<T>());
  });
}

}  // namespace lathe::kernels::cuda
