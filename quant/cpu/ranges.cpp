// DQ, PACT and learned zero points: quantizers that learn where they clip.

#include "quant/cpu/groups.h"
#include "quant/kernels.h"
#include "quant/math/dq.h"
#include "quant/math/pact.h"
#include "quant/math/quant_noise.h"

namespace lathe::kernels::cpu {
namespace {

using quant::Groups;

/// out[i] = fn(in[i])
template <class T, class Fn>
void map(Tensor& y, const Tensor& x, const Fn& fn) {
  const T* in = x.ptr<T>();
  T* out = y.mut<T>();
  quant::for_each_piece(Groups(x.numel(), 0), [&](int64_t, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) out[i] = fn(in[i]);
  });
}

/// dx[i] = dy[i] * d[0] where fn(x[i]) = d; returns the sums of dy[i] * d[1] and dy[i] * d[2].
template <class T, class Fn>
std::array<double, 2> map_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const Fn& fn) {
  const T* in = x.ptr<T>();
  const T* grad = dy.ptr<T>();
  T* out = dx.defined() ? dx.mut<T>() : nullptr;
  std::array<double, 2> total{};
  quant::sum_groups<2>(
      Groups(x.numel(), 0),
      [&](int64_t, int64_t first, int64_t last) {
        std::array<double, 2> sums{};
        for (int64_t i = first; i < last; ++i) {
          const std::array<T, 3> d = fn(in[i]);
          if (out != nullptr) out[i] = grad[i] * d[0];
          sums[0] += static_cast<double>(grad[i]) * static_cast<double>(d[1]);
          sums[1] += static_cast<double>(grad[i]) * static_cast<double>(d[2]);
        }
        return sums;
      },
      [&](int64_t, const std::array<double, 2>& sums) { total = sums; });
  return total;
}

template <class T>
void put(Tensor& to, double value) {
  if (to.defined()) to.mut<T>()[0] = static_cast<T>(value);
}

}  // namespace

void dq_quantize(Tensor& y, const Tensor& x, const Tensor& step, const Tensor& range, const DqShape& shape) {
  dispatch_floating(x.dtype(), "dq_quantize", [&]<class T>() {
    const T r = range.ptr<T>()[0], lo = shape.is_signed ? -r : T(0);
    if (shape.power_of_two) {
      const T s = quant::dq_power_step(step.ptr<T>()[0]);
      map<T>(y, x, [=](T v) { return quant::decode_affine(quant::dq_code(v, s, lo, r), s); });
    } else {
      const T s = step.ptr<T>()[0];
      map<T>(y, x, [=](T v) { return quant::dq_u3_value(v, s, r); });
    }
  });
}

void dq_backward(Tensor& dx, Tensor& dstep, Tensor& drange, const Tensor& dy, const Tensor& x,
                 const Tensor& step, const Tensor& range, const DqShape& shape) {
  dispatch_floating(x.dtype(), "dq_backward", [&]<class T>() {
    const T raw = step.ptr<T>()[0], r = range.ptr<T>()[0], lo = shape.is_signed ? -r : T(0);
    const T s = shape.power_of_two ? quant::dq_power_step(raw) : raw;
    const auto sums = map_backward<T>(dx, dy, x, [=](T v) {
      const auto d = shape.power_of_two ? quant::dq_gradients(v, s, lo, r) : quant::dq_u3_gradients(v, s, r);
      return std::array<T, 3>{d.x, d.step, d.range};
    });
    put<T>(dstep, sums[0] * static_cast<double>(s) / static_cast<double>(raw));
    put<T>(drange, sums[1]);
  });
}

void zero_point_quantize(Tensor& y, const Tensor& x, const Tensor& step, const Tensor& zero, double levels) {
  dispatch_floating(x.dtype(), "zero_point_quantize", [&]<class T>() {
    const T s = step.ptr<T>()[0], n = static_cast<T>(levels), z = quant::whole_zero(zero.ptr<T>()[0], n);
    map<T>(y, x, [=](T v) { return quant::shifted_value(v, s, z, n); });
  });
}

void zero_point_backward(Tensor& dx, Tensor& dstep, Tensor& dzero, const Tensor& dy, const Tensor& x,
                         const Tensor& step, const Tensor& zero, double levels) {
  dispatch_floating(x.dtype(), "zero_point_backward", [&]<class T>() {
    const T s = step.ptr<T>()[0], n = static_cast<T>(levels), raw = zero.ptr<T>()[0],
            z = quant::whole_zero(raw, n);
    const auto sums = map_backward<T>(dx, dy, x, [=](T v) {
      const auto d = quant::shifted_gradients(v, s, z, n);
      return std::array<T, 3>{d.x, d.scale, d.zero};
    });
    put<T>(dstep, sums[0]);
    put<T>(dzero, quant::round_ste(raw) == z ? sums[1] : 0.0);
  });
}

void pact_quantize(Tensor& y, const Tensor& x, const Tensor& alpha, double levels) {
  dispatch_floating(x.dtype(), "pact_quantize", [&]<class T>() {
    const T a = alpha.ptr<T>()[0], n = static_cast<T>(levels);
    map<T>(y, x, [=](T v) { return quant::pact_value(v, a, n); });
  });
}

void pact_backward(Tensor& dx, Tensor& dalpha, const Tensor& dy, const Tensor& x, const Tensor& alpha,
                   double levels, bool residual) {
  dispatch_floating(x.dtype(), "pact_backward", [&]<class T>() {
    const T a = alpha.ptr<T>()[0], n = static_cast<T>(levels);
    const auto sums = map_backward<T>(dx, dy, x, [=](T v) {
      const auto d = quant::pact_gradients(v, a, n, residual);
      return std::array<T, 3>{d.x, d.alpha, T(0)};
    });
    put<T>(dalpha, sums[0]);
  });
}

}  // namespace lathe::kernels::cpu
