// Placeholders: kernels of core/kernels/matmul.h that are still to be written.
#include "core/kernels/matmul.h"

namespace lathe::kernels::cuda {

void column_sum(Tensor&, const Tensor&) {
  LATHE_THROW(NotImplementedError, "column_sum: no CUDA kernel yet");
}

}  // namespace lathe::kernels::cuda
