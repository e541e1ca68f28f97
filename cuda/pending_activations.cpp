// Placeholders: kernels of core/kernels/activations.h that are still to be written.
#include "core/kernels/activations.h"

namespace lathe::kernels::cuda {

void glu_forward(Tensor&, const Tensor&, int) {
  LATHE_THROW(NotImplementedError, "glu_forward: no CUDA kernel yet");
}
void glu_backward(Tensor&, const Tensor&, const Tensor&, int) {
  LATHE_THROW(NotImplementedError, "glu_backward: no CUDA kernel yet");
}

}  // namespace lathe::kernels::cuda
