// Placeholders: kernels of core/kernels/embedding.h that are still to be written.
#include "core/kernels/embedding.h"

namespace lathe::kernels::cuda {

void embedding_forward(Tensor&, const Tensor&, const Tensor&) {
  LATHE_THROW(NotImplementedError, "embedding_forward: no CUDA kernel yet");
}
void embedding_backward(Tensor&, const Tensor&, const Tensor&, int64_t) {
  LATHE_THROW(NotImplementedError, "embedding_backward: no CUDA kernel yet");
}

}  // namespace lathe::kernels::cuda
