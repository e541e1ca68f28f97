// Matrix products of the emulated toolkit: plain loops, sums in f64. It adds no bias in f64, so that the way
// around is tested.

#include <cuda_emulator.h>

#include "cuda/gemm.h"
#include "cuda/runtime.h"
#include "tests/cuda_emulator/tf32.h"

namespace lathe::cuda {
namespace {

template <class In, class Out>
void multiply(const Gemm& p, Out* y, const In* a, const In* b, const Out* bias) {
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < p.k; ++l) {
        sum += operand(a[p.transpose_a ? l * p.lda + i : i * p.lda + l], p.tf32) *
               operand(b[p.transpose_b ? j * p.ldb + l : l * p.ldb + j], p.tf32);
      }
      Out& out = y[i * p.ldy + j];
      if (p.bias) sum += static_cast<double>(bias[j]);
      if (p.accumulate) sum += static_cast<double>(out);
      out = static_cast<Out>(sum);
    }
  }
}

template <class In, class Out>
bool queue(const Gemm& p, void* y, const void* a, const void* b, const void* bias) {
  emulator::enqueue(compute_stream(), [=] {
    for (int64_t i = 0; i < p.batch; ++i) {
      multiply(p, static_cast<Out*>(y) + i * p.stride_y, static_cast<const In*>(a) + i * p.stride_a,
               static_cast<const In*>(b) + i * p.stride_b, static_cast<const Out*>(bias));
    }
  });
  return true;
}

}  // namespace

bool gemm(const Gemm& p, void* y, const void* a, const void* b, const void* bias) {
  LATHE_ASSERT(p.m > 0 && p.n > 0 && p.k > 0 && p.batch > 0 && p.bias == (bias != nullptr));
  LATHE_ASSERT(p.batch == 1 || p.stride_y >= p.m * p.n);
  if (p.in == DType::F64) return !p.bias && queue<double, double>(p, y, a, b, bias);
  if (p.in == DType::F32) return queue<float, float>(p, y, a, b, bias);
  return p.out == DType::BF16 ? queue<bf16, bf16>(p, y, a, b, bias) : queue<bf16, float>(p, y, a, b, bias);
}

}  // namespace lathe::cuda
