// Placeholders: kernels of core/kernels/random.h that are still to be written.
#include "core/kernels/random.h"

namespace lathe::kernels::cuda {

void fill_uniform(Tensor&, double, double, const Philox&) {
  LATHE_THROW(NotImplementedError, "fill_uniform: no CUDA kernel yet");
}
void fill_normal(Tensor&, double, const Philox&) {
  LATHE_THROW(NotImplementedError, "fill_normal: no CUDA kernel yet");
}
void dropout(Tensor&, const Tensor&, double, const Philox&, uint64_t) {
  LATHE_THROW(NotImplementedError, "dropout: no CUDA kernel yet");
}
void drop_path(Tensor&, const Tensor&, double, const Philox&, uint64_t) {
  LATHE_THROW(NotImplementedError, "drop_path: no CUDA kernel yet");
}

}  // namespace lathe::kernels::cuda
