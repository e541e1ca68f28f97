// Placeholders: kernels of core/kernels/conv.h that are still to be written.
#include "core/kernels/conv.h"

namespace lathe::kernels::cuda {

void conv2d_forward(Tensor&, const Tensor&, const Tensor&, const Tensor&, const Conv2dGeometry&) {
  LATHE_THROW(NotImplementedError, "conv2d_forward: no CUDA kernel yet");
}
void conv2d_backward_data(Tensor&, const Tensor&, const Tensor&, const Conv2dGeometry&) {
  LATHE_THROW(NotImplementedError, "conv2d_backward_data: no CUDA kernel yet");
}
void conv2d_backward_weight(Tensor&, const Tensor&, const Tensor&, const Conv2dGeometry&) {
  LATHE_THROW(NotImplementedError, "conv2d_backward_weight: no CUDA kernel yet");
}

}  // namespace lathe::kernels::cuda
