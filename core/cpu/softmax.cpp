#include "core/kernels/softmax.h"

#include <algorithm>

#include "core/cpu/by_type.h"
#include "core/cpu/isa_softmax.h"
#include "core/parallel.h"

namespace lathe::kernels::cpu {
namespace {

// Values per task: exp costs about a nanosecond each.
constexpr int64_t kGrain = 16384;

/// Calls fn(shape, lo) for the parts of a tensor seen as (outer, n, inner); a part begins at element lo.
template <class Fn>
void for_each_part(const Shape& shape, const SoftmaxOptions& options, const Fn& fn) {
  const int axis = shape.axis(options.axis);
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= shape[i];
  for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  const int64_t n = shape[axis];
  if (shape.numel() == 0) return;
  const int64_t grain = std::max<int64_t>(1, kGrain / (n * inner));
  parallel_for(outer, grain, [&](int64_t lo, int64_t hi) {
    if (inner == 1) {
      fn(lathe::cpu::SoftmaxShape{.count = hi - lo, .n = n, .columns = false, .log = options.log}, lo * n);
      return;
    }
    for (int64_t i = lo; i < hi; ++i) {
      fn(lathe::cpu::SoftmaxShape{.count = inner, .n = n, .columns = true, .log = options.log},
         i * n * inner);
    }
  });
}

}  // namespace

void softmax_forward(Tensor& y, const Tensor& x, const SoftmaxOptions& options) {
  dispatch_floating(x.dtype(), "softmax", [&]<class T>() {
    T* out = y.mut<T>();
    const T* in = x.ptr<T>();
    const auto run = lathe::cpu::by_type<T>(lathe::cpu::softmax_f32, lathe::cpu::softmax_f64);
    for_each_part(x.shape(), options,
                  [&](const lathe::cpu::SoftmaxShape& shape, int64_t lo) { run(out + lo, in + lo, shape); });
  });
}

void softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const SoftmaxOptions& options) {
  dispatch_floating(y.dtype(), "softmax", [&]<class T>() {
    T* out = dx.mut<T>();
    const T *g = dy.ptr<T>(), *v = y.ptr<T>();
    const auto run =
        lathe::cpu::by_type<T>(lathe::cpu::softmax_gradient_f32, lathe::cpu::softmax_gradient_f64);
    for_each_part(y.shape(), options, [&](const lathe::cpu::SoftmaxShape& shape, int64_t lo) {
      run(out + lo, g + lo, v + lo, shape);
    });
  });
}

}  // namespace lathe::kernels::cpu
