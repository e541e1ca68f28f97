#include "core/cpu/isa_elementwise.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

template <class T>
void accumulate(T* sum, const T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) sum[i] += x[i];
}

}  // namespace

void accumulate_f32(float* sum, const float* x, int64_t n) {
  accumulate(sum, x, n);
}
void accumulate_f64(double* sum, const double* x, int64_t n) {
  accumulate(sum, x, n);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
