// Gradient of a convolution's bias: column sums.

#include <algorithm>

#include "core/cpu/conv_scratch.h"
#include "core/cpu/isa_elementwise.h"
#include "core/kernels/conv.h"
#include "core/parallel.h"

namespace lathe::kernels::cpu {
namespace {

void add_row(float* sum, const float* row, int64_t n) {
  lathe::cpu::accumulate_f32(sum, row, n);
}
void add_row(double* sum, const double* row, int64_t n) {
  lathe::cpu::accumulate_f64(sum, row, n);
}

/// Elements of dy behind one partial sum.
constexpr int64_t kChunk = 65536;

}  // namespace

void bias_backward(Tensor& db, const Tensor& dy) {
  const int64_t k = db.numel();
  if (k == 0) return;
  const int64_t rows = dy.numel() / k;
  const int64_t grain = std::max<int64_t>(kChunk / k, 1);
  dispatch_floating(db.dtype(), "bias_backward", [&]<class T>() {
    thread_local lathe::cpu::ConvScratch memory;
    const T* in = dy.ptr<T>();
    T* out = db.mut<T>();
    T* parts = memory.take<T>(k * chunk_count(rows, grain));
    parallel_for(rows, grain, [&](int64_t lo, int64_t hi) {
      T* sum = parts + lo / grain * k;
      std::fill(sum, sum + k, T(0));
      for (int64_t i = lo; i < hi; ++i) add_row(sum, in + i * k, k);
    });
    std::fill(out, out + k, T(0));
    for (int64_t p = 0; p < chunk_count(rows, grain); ++p) add_row(out, parts + p * k, k);
  });
}

}  // namespace lathe::kernels::cpu
