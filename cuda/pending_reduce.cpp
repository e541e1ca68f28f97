// Placeholders: kernels of core/kernels/reduce.h that are still to be written.
#include "core/kernels/reduce.h"

namespace lathe::kernels::cuda {

void sum(Tensor&, const Tensor&, AxisMask, double) {
  LATHE_THROW(NotImplementedError, "sum: no CUDA kernel yet");
}

}  // namespace lathe::kernels::cuda
