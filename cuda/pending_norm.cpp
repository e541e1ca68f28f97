// Placeholders: kernels of core/kernels/norm.h that are still to be written.
#include "core/kernels/norm.h"

namespace lathe::kernels::cuda {

void batch_norm_training(Tensor&, Tensor&, Tensor&, Tensor&, Tensor&, const Tensor&, const Tensor&,
                         const Tensor&, const Tensor&, const BatchNormTraining&) {
  LATHE_THROW(NotImplementedError, "batch_norm_training: no CUDA kernel yet");
}
void batch_norm_apply(Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                      const Tensor&, bool) {
  LATHE_THROW(NotImplementedError, "batch_norm_apply: no CUDA kernel yet");
}
void batch_norm_backward(Tensor&, Tensor&, Tensor&, Tensor&, const Tensor&, const Tensor&, const Tensor&,
                         const Tensor&, const Tensor&, const Tensor&, const BatchNormGradient&) {
  LATHE_THROW(NotImplementedError, "batch_norm_backward: no CUDA kernel yet");
}
void inverse_std(Tensor&, const Tensor&, double) {
  LATHE_THROW(NotImplementedError, "inverse_std: no CUDA kernel yet");
}
void layer_norm_forward(Tensor&, Tensor&, Tensor&, const Tensor&, const Tensor&, const Tensor&, double) {
  LATHE_THROW(NotImplementedError, "layer_norm_forward: no CUDA kernel yet");
}
void layer_norm_backward(Tensor&, Tensor&, Tensor&, const Tensor&, const Tensor&, const Tensor&,
                         const Tensor&, const Tensor&) {
  LATHE_THROW(NotImplementedError, "layer_norm_backward: no CUDA kernel yet");
}
void group_norm_forward(Tensor&, Tensor&, Tensor&, const Tensor&, const Tensor&, const Tensor&, double) {
  LATHE_THROW(NotImplementedError, "group_norm_forward: no CUDA kernel yet");
}
void group_norm_backward(Tensor&, Tensor&, Tensor&, const Tensor&, const Tensor&, const Tensor&,
                         const Tensor&, const Tensor&) {
  LATHE_THROW(NotImplementedError, "group_norm_backward: no CUDA kernel yet");
}

}  // namespace lathe::kernels::cuda
