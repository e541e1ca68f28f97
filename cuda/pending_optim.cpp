// Placeholders: kernels of core/kernels/optim.h that are still to be written.
#include "core/kernels/optim.h"

namespace lathe::kernels::cuda {

void sgd_update(std::span<Tensor>, std::span<const Tensor>, std::span<Tensor>, const SgdUpdate&) {
  LATHE_THROW(NotImplementedError, "sgd_update: no CUDA kernel yet");
}
void adam_update(std::span<Tensor>, std::span<const Tensor>, std::span<Tensor>, std::span<Tensor>,
                 std::span<const int64_t>, const AdamUpdate&) {
  LATHE_THROW(NotImplementedError, "adam_update: no CUDA kernel yet");
}
void ema_update(std::span<Tensor>, std::span<const Tensor>, double) {
  LATHE_THROW(NotImplementedError, "ema_update: no CUDA kernel yet");
}
void sum_of_squares(Tensor&, std::span<const Tensor>) {
  LATHE_THROW(NotImplementedError, "sum_of_squares: no CUDA kernel yet");
}
void scale_in_place(std::span<Tensor>, double) {
  LATHE_THROW(NotImplementedError, "scale_in_place: no CUDA kernel yet");
}

}  // namespace lathe::kernels::cuda
