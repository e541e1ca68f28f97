// Placeholders: kernels of core/kernels/softmax.h that are still to be written.
#include "core/kernels/softmax.h"

namespace lathe::kernels::cuda {

void softmax_forward(Tensor&, const Tensor&, const SoftmaxOptions&) {
  LATHE_THROW(NotImplementedError, "softmax_forward: no CUDA kernel yet");
}
void softmax_backward(Tensor&, const Tensor&, const Tensor&, const SoftmaxOptions&) {
  LATHE_THROW(NotImplementedError, "softmax_backward: no CUDA kernel yet");
}

}  // namespace lathe::kernels::cuda
