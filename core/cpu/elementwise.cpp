#include "core/kernels/elementwise.h"

#include <algorithm>

#include "core/cpu/isa_elementwise.h"
#include "core/parallel.h"

namespace lathe::kernels::cpu {
namespace {

// Elements a chunk touches: 128 KiB of f32 per operand, long enough to hide the loop's start.
constexpr int64_t kGrain = 32768;

}  // namespace

void fill(Tensor& y, double value) {
  dispatch_element(y.dtype(), [&]<class T>() {
    T* out = y.mut<T>();
    parallel_for(y.numel(), kGrain,
                 [&](int64_t lo, int64_t hi) { std::fill(out + lo, out + hi, static_cast<T>(value)); });
  });
}

void accumulate(Tensor& sum, const Tensor& x) {
  LATHE_ASSERT(sum.shape() == x.shape());
  const int64_t n = sum.numel();
  dispatch_floating(sum.dtype(), "accumulate", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = sum.mut<T>();
    parallel_for(n, kGrain, [&](int64_t lo, int64_t hi) {
      if constexpr (std::is_same_v<T, float>) {
        lathe::cpu::accumulate_f32(out + lo, in + lo, hi - lo);
      } else {
        lathe::cpu::accumulate_f64(out + lo, in + lo, hi - lo);
      }
    });
  });
}

}  // namespace lathe::kernels::cpu
