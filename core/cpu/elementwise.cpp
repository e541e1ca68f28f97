#include "core/kernels/elementwise.h"

#include <algorithm>

#include "core/cpu/isa_elementwise.h"
#include "core/cpu/loop_nest.h"

namespace lathe::kernels::cpu {
namespace {

namespace isa = lathe::cpu;
using isa::kElementGrain;
using isa::pick;

/// fn(offset in y, offset in a, offset in b, strip) over pieces of y that cover it once.
template <class Fn>
void for_strips(const Shape& y, const Shape& a, const Shape& b, const Fn& fn) {
  if (y.numel() == 0) return;
  const LoopNest<2> nest = broadcast_nest(y, a, b);
  const auto [sa, sb] = nest.stride;
  const int64_t n = nest.inner();
  if (nest.rank <= 1) {
    parallel_for(n, kElementGrain, [&](int64_t lo, int64_t hi) {
      fn(lo, lo * sa[0], lo * sb[0], isa::Strip{.n = hi - lo, .a_step = sa[0], .b_step = sb[0]});
    });
    return;
  }
  const int64_t rows = nest.extent[1];
  parallel_for(nest.outer(1), isa::row_grain(n), [&](int64_t lo, int64_t hi) {
    while (lo < hi) {
      const int64_t first = lo % rows;
      const int64_t count = std::min(hi - lo, rows - first);
      const auto [at_a, at_b] = nest.offsets(lo, 1);
      fn(lo * n, at_a, at_b,
         isa::Strip{.rows = count, .n = n, .a_row = sa[1], .a_step = sa[0], .b_row = sb[1], .b_step = sb[0]});
      lo += count;
    }
  });
}

}  // namespace

void fill(Tensor& y, double value) {
  dispatch_element(y.dtype(), [&]<class T>() {
    T* out = y.mut<T>();
    parallel_for(y.numel(), kElementGrain,
                 [&](int64_t lo, int64_t hi) { std::fill(out + lo, out + hi, static_cast<T>(value)); });
  });
}

void cast(Tensor& y, const Tensor& x) {
  dispatch_element(x.dtype(), [&]<class From>() {
    dispatch_element(y.dtype(), [&]<class To>() {
      const From* in = x.ptr<From>();
      To* out = y.mut<To>();
      parallel_for(y.numel(), kElementGrain, [&](int64_t lo, int64_t hi) {
        std::transform(in + lo, in + hi, out + lo, [](From value) { return static_cast<To>(value); });
      });
    });
  });
}

void accumulate(Tensor& sum, const Tensor& x) {
  LATHE_ASSERT(sum.shape() == x.shape());
  dispatch_floating(sum.dtype(), "accumulate", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = sum.mut<T>();
    parallel_for(sum.numel(), kElementGrain, [&](int64_t lo, int64_t hi) {
      pick<T>(isa::accumulate_f32, isa::accumulate_f64)(out + lo, in + lo, hi - lo);
    });
  });
}

void binary(Tensor& y, const Tensor& a, const Tensor& b, BinaryOp op) {
  dispatch_floating(y.dtype(), "binary", [&]<class T>() {
    const T* pa = a.ptr<T>();
    const T* pb = b.ptr<T>();
    T* out = y.mut<T>();
    for_strips(y.shape(), a.shape(), b.shape(),
               [&](int64_t i, int64_t ia, int64_t ib, const isa::Strip& strip) {
                 pick<T>(isa::binary_f32, isa::binary_f64)(out + i, pa + ia, pb + ib, strip, op);
               });
  });
}

void binary_backward(Tensor& dx, const Tensor& dy, const Tensor& a, const Tensor& b, BinaryOp op, int side) {
  LATHE_ASSERT(dx.shape() == dy.shape());
  dispatch_floating(dx.dtype(), "binary_backward", [&]<class T>() {
    const T* in = dy.ptr<T>();
    const T* pa = a.ptr<T>();
    const T* pb = b.ptr<T>();
    T* out = dx.mut<T>();
    for_strips(dx.shape(), a.shape(), b.shape(),
               [&](int64_t i, int64_t ia, int64_t ib, const isa::Strip& strip) {
                 pick<T>(isa::binary_backward_f32, isa::binary_backward_f64)(out + i, in + i, pa + ia,
                                                                             pb + ib, strip, op, side);
               });
  });
}

void unary(Tensor& y, const Tensor& x, UnaryOp op, UnaryParameters parameters) {
  LATHE_ASSERT(y.shape() == x.shape());
  dispatch_floating(y.dtype(), "unary", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = y.mut<T>();
    parallel_for(y.numel(), kElementGrain, [&](int64_t lo, int64_t hi) {
      pick<T>(isa::unary_f32, isa::unary_f64)(out + lo, in + lo, hi - lo, op, parameters);
    });
  });
}

void unary_backward(Tensor& dx, const Tensor& dy, const Tensor& saved, UnaryOp op,
                    UnaryParameters parameters) {
  LATHE_ASSERT(dx.shape() == dy.shape() && dx.shape() == saved.shape());
  dispatch_floating(dx.dtype(), "unary_backward", [&]<class T>() {
    const T* grad = dy.ptr<T>();
    const T* s = saved.ptr<T>();
    T* out = dx.mut<T>();
    parallel_for(dx.numel(), kElementGrain, [&](int64_t lo, int64_t hi) {
      pick<T>(isa::unary_backward_f32, isa::unary_backward_f64)(out + lo, grad + lo, s + lo, hi - lo, op,
                                                                parameters);
    });
  });
}

}  // namespace lathe::kernels::cpu
