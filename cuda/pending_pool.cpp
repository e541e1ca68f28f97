// Placeholders: kernels of core/kernels/pool.h that are still to be written.
#include "core/kernels/pool.h"

namespace lathe::kernels::cuda {

void max_pool_forward(Tensor&, Tensor&, const Tensor&, const PoolGeometry&) {
  LATHE_THROW(NotImplementedError, "max_pool_forward: no CUDA kernel yet");
}
void max_pool_backward(Tensor&, const Tensor&, const Tensor&) {
  LATHE_THROW(NotImplementedError, "max_pool_backward: no CUDA kernel yet");
}
void avg_pool_forward(Tensor&, const Tensor&, const PoolGeometry&) {
  LATHE_THROW(NotImplementedError, "avg_pool_forward: no CUDA kernel yet");
}
void avg_pool_backward(Tensor&, const Tensor&, const PoolGeometry&) {
  LATHE_THROW(NotImplementedError, "avg_pool_backward: no CUDA kernel yet");
}

}  // namespace lathe::kernels::cuda
