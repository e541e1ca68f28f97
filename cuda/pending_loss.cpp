// Placeholders: kernels of core/kernels/loss.h that are still to be written.
#include "core/kernels/loss.h"

namespace lathe::kernels::cuda {

void cross_entropy_forward(Tensor&, Tensor&, Tensor&, const Tensor&, const Tensor&, const Tensor&,
                           const CrossEntropyFlags&) {
  LATHE_THROW(NotImplementedError, "cross_entropy_forward: no CUDA kernel yet");
}
void cross_entropy_backward(Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                            const Tensor&, const Tensor&, const CrossEntropyFlags&) {
  LATHE_THROW(NotImplementedError, "cross_entropy_backward: no CUDA kernel yet");
}
void soft_cross_entropy_forward(Tensor&, Tensor&, const Tensor&, const Tensor&) {
  LATHE_THROW(NotImplementedError, "soft_cross_entropy_forward: no CUDA kernel yet");
}
void soft_cross_entropy_backward(Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&) {
  LATHE_THROW(NotImplementedError, "soft_cross_entropy_backward: no CUDA kernel yet");
}
void pair_loss_forward(Tensor&, const Tensor&, const Tensor&, PairLoss, Reduction) {
  LATHE_THROW(NotImplementedError, "pair_loss_forward: no CUDA kernel yet");
}
void pair_loss_backward(Tensor&, Tensor&, const Tensor&, const Tensor&, const Tensor&, PairLoss, Reduction) {
  LATHE_THROW(NotImplementedError, "pair_loss_backward: no CUDA kernel yet");
}

}  // namespace lathe::kernels::cuda
