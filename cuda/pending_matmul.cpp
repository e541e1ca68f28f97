// Placeholders: kernels of core/kernels/matmul.h that are still to be written.
#include "core/kernels/matmul.h"

namespace lathe::kernels::cuda {

void matmul(Tensor&, const Tensor&, const Tensor&, const Tensor&, const MatmulFlags&) {
  LATHE_THROW(NotImplementedError, "matmul: no CUDA kernel yet");
}

}  // namespace lathe::kernels::cuda
