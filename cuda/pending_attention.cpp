// Placeholders: kernels of core/kernels/attention.h that are still to be written.
#include "core/kernels/attention.h"

namespace lathe::kernels::cuda {

void attention_forward(Tensor&, Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                       const Tensor&, const AttentionFlags&) {
  LATHE_THROW(NotImplementedError, "attention_forward: no CUDA kernel yet");
}
void attention_backward(Tensor&, Tensor&, Tensor&, Tensor&, const Tensor&, const Tensor&, const Tensor&,
                        const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                        const AttentionFlags&) {
  LATHE_THROW(NotImplementedError, "attention_backward: no CUDA kernel yet");
}

}  // namespace lathe::kernels::cuda
