// Placeholders: kernels of core/kernels/shape.h that are still to be written.
#include "core/kernels/shape.h"

namespace lathe::kernels::cuda {

void permute(Tensor&, const Tensor&, const std::vector<int>&) {
  LATHE_THROW(NotImplementedError, "permute: no CUDA kernel yet");
}
void copy_axis(Tensor&, const Tensor&, const AxisCopy&) {
  LATHE_THROW(NotImplementedError, "copy_axis: no CUDA kernel yet");
}
void add_axis(Tensor&, const Tensor&, const AxisCopy&) {
  LATHE_THROW(NotImplementedError, "add_axis: no CUDA kernel yet");
}
void option_a_forward(Tensor&, const Tensor&, int64_t) {
  LATHE_THROW(NotImplementedError, "option_a_forward: no CUDA kernel yet");
}
void option_a_backward(Tensor&, const Tensor&, int64_t) {
  LATHE_THROW(NotImplementedError, "option_a_backward: no CUDA kernel yet");
}

}  // namespace lathe::kernels::cuda
