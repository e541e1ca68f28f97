// DQ, PACT and learned zero points: quantizers that learn where they clip.

#include "cuda/quant/groups.cuh"
#include "quant/kernels.h"
#include "quant/math/dq.h"
#include "quant/math/pact.h"
#include "quant/math/quant_noise.h"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

template <class T>
struct Dq {
  const T *step, *range;
  bool power_of_two, is_signed;
  Dq(const Tensor& steps, const Tensor& ranges, const DqShape& shape)
      : step(steps.ptr<T>()),
        range(ranges.ptr<T>()),
        power_of_two(shape.power_of_two),
        is_signed(shape.is_signed) {}
  struct Shared {
    T raw, step, lo, range;
  };
  __device__ Shared group(int64_t) const {
    const T raw = *step, most = *range;
    return {raw, power_of_two ? quant::dq_power_step(raw) : raw, is_signed ? -most : T(0), most};
  }
  __device__ T value(const Shared& s, int64_t, T x, T) const {
    if (!power_of_two) return quant::dq_u3_value(x, s.step, s.range);
    return quant::decode_affine(quant::dq_code(x, s.step, s.lo, s.range), s.step);
  }
  __device__ quant::DqGradients<T> gradients(const Shared& s, T x) const {
    return power_of_two ? quant::dq_gradients(x, s.step, s.lo, s.range)
                        : quant::dq_u3_gradients(x, s.step, s.range);
  }
};

template <class T>
struct DqValue : Dq<T> {
  using Dq<T>::Dq;
};

/// Where the gradients of two parameters of one element go; null: nowhere.
template <class T>
struct Places {
  T *first, *second;
  __device__ void put(double a, double b) const {
    if (first != nullptr) *first = static_cast<T>(a);
    if (second != nullptr) *second = static_cast<T>(b);
  }
};

template <class T>
struct DqGradient : SumFn<2>, Dq<T> {
  using typename Dq<T>::Shared;
  Places<T> places;
  DqGradient(const Dq<T>& dq, const Places<T>& to) : Dq<T>(dq), places(to) {}
  __device__ T element(const Shared& s, int64_t, T x, T dy, double (&v)[2]) const {
    const auto d = this->gradients(s, x);
    v[0] += static_cast<double>(dy) * static_cast<double>(d.step);
    v[1] += static_cast<double>(dy) * static_cast<double>(d.range);
    return dy * d.x;
  }
  __device__ void finish(int64_t, const double (&v)[2]) const {
    const Shared s = this->group(0);
    places.put(v[0] * static_cast<double>(s.step) / static_cast<double>(s.raw), v[1]);
  }
};

template <class T>
struct ZeroPoint {
  const T *step, *zero;
  T levels;
  ZeroPoint(const Tensor& steps, const Tensor& zeros, double most)
      : step(steps.ptr<T>()), zero(zeros.ptr<T>()), levels(static_cast<T>(most)) {}
  struct Shared {
    T step, raw, zero;
  };
  __device__ Shared group(int64_t) const {
    const T raw = *zero;
    return {*step, raw, quant::whole_zero(raw, levels)};
  }
};

template <class T>
struct ZeroPointValue : ZeroPoint<T> {
  using ZeroPoint<T>::ZeroPoint;
  using typename ZeroPoint<T>::Shared;
  __device__ T value(const Shared& s, int64_t, T x, T) const {
    return quant::shifted_value(x, s.step, s.zero, this->levels);
  }
};

template <class T>
struct ZeroPointGradient : SumFn<2>, ZeroPoint<T> {
  using typename ZeroPoint<T>::Shared;
  Places<T> places;
  ZeroPointGradient(const ZeroPoint<T>& grid, const Places<T>& to) : ZeroPoint<T>(grid), places(to) {}
  __device__ T element(const Shared& s, int64_t, T x, T dy, double (&v)[2]) const {
    const auto d = quant::shifted_gradients(x, s.step, s.zero, this->levels);
    v[0] += static_cast<double>(dy) * static_cast<double>(d.scale);
    v[1] += static_cast<double>(dy) * static_cast<double>(d.zero);
    return dy * d.x;
  }
  __device__ void finish(int64_t, const double (&v)[2]) const {
    const Shared s = this->group(0);
    places.put(v[0], quant::round_ste(s.raw) == s.zero ? v[1] : 0.0);
  }
};

template <class T>
struct Pact {
  const T* alpha;
  T levels;
  Pact(const Tensor& bound, double most) : alpha(bound.ptr<T>()), levels(static_cast<T>(most)) {}
  __device__ T group(int64_t) const { return *alpha; }
};

template <class T>
struct PactValue : Pact<T> {
  using Pact<T>::Pact;
  __device__ T value(T a, int64_t, T x, T) const { return quant::pact_value(x, a, this->levels); }
};

template <class T>
struct PactGradient : SumFn<1>, Pact<T> {
  bool residual;
  T* dalpha;
  PactGradient(const Pact<T>& pact, bool with_residual, T* to)
      : Pact<T>(pact), residual(with_residual), dalpha(to) {}
  __device__ T element(T a, int64_t, T x, T dy, double (&v)[1]) const {
    const auto d = quant::pact_gradients(x, a, this->levels, residual);
    v[0] += static_cast<double>(dy) * static_cast<double>(d.alpha);
    return dy * d.x;
  }
  __device__ void finish(int64_t, const double (&v)[1]) const {
    if (dalpha != nullptr) *dalpha = static_cast<T>(v[0]);
  }
};

GroupSpan all_of(const Tensor& x) {
  return GroupSpan(x.numel(), 0);
}

}  // namespace

void dq_quantize(Tensor& y, const Tensor& x, const Tensor& step, const Tensor& range, const DqShape& shape) {
  dispatch_floating(x.dtype(), "dq_quantize", [&]<class T>() {
    map_groups(all_of(x), DqValue<T>(step, range, shape), y.mut<T>(), x.ptr<T>());
  });
}

void dq_backward(Tensor& dx, Tensor& dstep, Tensor& drange, const Tensor& dy, const Tensor& x,
                 const Tensor& step, const Tensor& range, const DqShape& shape) {
  dispatch_floating(x.dtype(), "dq_backward", [&]<class T>() {
    const Places<T> places{optional_mut<T>(dstep), optional_mut<T>(drange)};
    reduce_groups(all_of(x), DqGradient<T>(Dq<T>(step, range, shape), places), optional_mut<T>(dx),
                  x.ptr<T>(), dy.ptr<T>());
  });
}

void zero_point_quantize(Tensor& y, const Tensor& x, const Tensor& step, const Tensor& zero, double levels) {
  dispatch_floating(x.dtype(), "zero_point_quantize", [&]<class T>() {
    map_groups(all_of(x), ZeroPointValue<T>(step, zero, levels), y.mut<T>(), x.ptr<T>());
  });
}

void zero_point_backward(Tensor& dx, Tensor& dstep, Tensor& dzero, const Tensor& dy, const Tensor& x,
                         const Tensor& step, const Tensor& zero, double levels) {
  dispatch_floating(x.dtype(), "zero_point_backward", [&]<class T>() {
    const Places<T> places{optional_mut<T>(dstep), optional_mut<T>(dzero)};
    reduce_groups(all_of(x), ZeroPointGradient<T>(ZeroPoint<T>(step, zero, levels), places),
                  optional_mut<T>(dx), x.ptr<T>(), dy.ptr<T>());
  });
}

void pact_quantize(Tensor& y, const Tensor& x, const Tensor& alpha, double levels) {
  dispatch_floating(x.dtype(), "pact_quantize", [&]<class T>() {
    map_groups(all_of(x), PactValue<T>(alpha, levels), y.mut<T>(), x.ptr<T>());
  });
}

void pact_backward(Tensor& dx, Tensor& dalpha, const Tensor& dy, const Tensor& x, const Tensor& alpha,
                   double levels, bool residual) {
  dispatch_floating(x.dtype(), "pact_backward", [&]<class T>() {
    reduce_groups(all_of(x), PactGradient<T>(Pact<T>(alpha, levels), residual, optional_mut<T>(dalpha)),
                  optional_mut<T>(dx), x.ptr<T>(), dy.ptr<T>());
  });
}

}  // namespace lathe::kernels::cuda
