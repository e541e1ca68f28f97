#include "core/kernels/activations.h"

#include "core/cpu/isa_elementwise.h"
#include "core/cpu/loop_nest.h"

namespace lathe::kernels::cpu {
namespace {

namespace isa = lathe::cpu;

/// fn(offset of y, offset of the first half, offset of the second half, count): x is (outer, 2, count).
template <class Fn>
void for_halves(const Shape& x, int axis, const Fn& fn) {
  if (x.numel() == 0) return;
  int64_t outer = 1;
  for (int i = 0; i < axis; ++i) outer *= x[i];
  const int64_t half = x.numel() / outer / 2;
  if (outer == 1) {
    parallel_for(half, isa::kElementGrain, [&](int64_t lo, int64_t hi) { fn(lo, lo, half + lo, hi - lo); });
    return;
  }
  parallel_for(outer, isa::row_grain(half), [&](int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; ++i) fn(i * half, 2 * i * half, (2 * i + 1) * half, half);
  });
}

}  // namespace

void glu_forward(Tensor& y, const Tensor& x, int axis) {
  dispatch_floating(x.dtype(), "glu", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = y.mut<T>();
    for_halves(x.shape(), axis, [&](int64_t i, int64_t a, int64_t b, int64_t n) {
      isa::pick<T>(isa::glu_f32, isa::glu_f64)(out + i, in + a, in + b, n);
    });
  });
}

void glu_backward(Tensor& dx, const Tensor& dy, const Tensor& x, int axis) {
  dispatch_floating(x.dtype(), "glu", [&]<class T>() {
    const T* grad = dy.ptr<T>();
    const T* in = x.ptr<T>();
    T* out = dx.mut<T>();
    for_halves(x.shape(), axis, [&](int64_t i, int64_t a, int64_t b, int64_t n) {
      isa::pick<T>(isa::glu_backward_f32, isa::glu_backward_f64)(out + a, out + b, grad + i, in + a, in + b,
                                                                 n);
    });
  });
}

}  // namespace lathe::kernels::cpu
