// Placeholders: kernels of quant/kernels.h that are still to be written.
#include "quant/kernels.h"

namespace lathe::kernels::cuda {

void group_range(Tensor&, Tensor&, const Tensor&, int64_t) {
  LATHE_THROW(NotImplementedError, "group_range: no CUDA kernel yet");
}
void group_mean_magnitude(Tensor&, const Tensor&, int64_t) {
  LATHE_THROW(NotImplementedError, "group_mean_magnitude: no CUDA kernel yet");
}
void percentile_range(Tensor&, Tensor&, const Tensor&, double, bool, int64_t) {
  LATHE_THROW(NotImplementedError, "percentile_range: no CUDA kernel yet");
}
void least_error_range(Tensor&, Tensor&, const Tensor&, int, bool, int64_t) {
  LATHE_THROW(NotImplementedError, "least_error_range: no CUDA kernel yet");
}
void round_to_half(Tensor&, const Tensor&) {
  LATHE_THROW(NotImplementedError, "round_to_half: no CUDA kernel yet");
}
void minmax_quantize(Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, int64_t) {
  LATHE_THROW(NotImplementedError, "minmax_quantize: no CUDA kernel yet");
}
void absmax_scale(Tensor&, const Tensor&, const Tensor&, double) {
  LATHE_THROW(NotImplementedError, "absmax_scale: no CUDA kernel yet");
}
void absmax_quantize(Tensor&, const Tensor&, const Tensor&, double, int64_t) {
  LATHE_THROW(NotImplementedError, "absmax_quantize: no CUDA kernel yet");
}
void absmax_backward(Tensor&, const Tensor&, const Tensor&, const Tensor&, double, int64_t) {
  LATHE_THROW(NotImplementedError, "absmax_backward: no CUDA kernel yet");
}
void lsq_quantize(Tensor&, const Tensor&, const Tensor&, const Tensor&, const LsqGrid&) {
  LATHE_THROW(NotImplementedError, "lsq_quantize: no CUDA kernel yet");
}
void lsq_backward(Tensor&, Tensor&, Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                  const LsqGrid&) {
  LATHE_THROW(NotImplementedError, "lsq_backward: no CUDA kernel yet");
}
void diffq_bits(Tensor&, Tensor&, const Tensor&, const DiffqWidths&) {
  LATHE_THROW(NotImplementedError, "diffq_bits: no CUDA kernel yet");
}
void diffq_unit(Tensor&, Tensor&, const Tensor&, const DiffqWidths&) {
  LATHE_THROW(NotImplementedError, "diffq_unit: no CUDA kernel yet");
}
void diffq_size(Tensor&, const Tensor&, const DiffqSize&) {
  LATHE_THROW(NotImplementedError, "diffq_size: no CUDA kernel yet");
}
void diffq_size_backward(Tensor&, const Tensor&, int64_t, int64_t) {
  LATHE_THROW(NotImplementedError, "diffq_size_backward: no CUDA kernel yet");
}
void add_noise(Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const NoiseSource&,
               int64_t) {
  LATHE_THROW(NotImplementedError, "add_noise: no CUDA kernel yet");
}
void add_noise_backward(Tensor&, Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                        const Tensor&, const NoiseSource&, int64_t) {
  LATHE_THROW(NotImplementedError, "add_noise_backward: no CUDA kernel yet");
}
void magnitude_quantile(Tensor&, const Tensor&, const Tensor&, const Tensor&, double) {
  LATHE_THROW(NotImplementedError, "magnitude_quantile: no CUDA kernel yet");
}
void codeq_grid(Tensor&, const Tensor&, const Tensor&, const Tensor&, const CodeqShape&) {
  LATHE_THROW(NotImplementedError, "codeq_grid: no CUDA kernel yet");
}
void codeq_quantize(Tensor&, const Tensor&, const Tensor&) {
  LATHE_THROW(NotImplementedError, "codeq_quantize: no CUDA kernel yet");
}
void codeq_backward(Tensor&, Tensor&, Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                    const Tensor&, const CodeqShape&) {
  LATHE_THROW(NotImplementedError, "codeq_backward: no CUDA kernel yet");
}
void dq_quantize(Tensor&, const Tensor&, const Tensor&, const Tensor&, const DqShape&) {
  LATHE_THROW(NotImplementedError, "dq_quantize: no CUDA kernel yet");
}
void dq_backward(Tensor&, Tensor&, Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                 const DqShape&) {
  LATHE_THROW(NotImplementedError, "dq_backward: no CUDA kernel yet");
}
void scalar_noise(Tensor&, const Tensor&, const Tensor&, const Tensor&, double, const MaskSource&, int64_t) {
  LATHE_THROW(NotImplementedError, "scalar_noise: no CUDA kernel yet");
}
void scalar_noise_backward(Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, double,
                           int64_t) {
  LATHE_THROW(NotImplementedError, "scalar_noise_backward: no CUDA kernel yet");
}
void block_noise(Tensor&, const Tensor&, const MaskSource&, const BlockShape&) {
  LATHE_THROW(NotImplementedError, "block_noise: no CUDA kernel yet");
}
void zero_point_quantize(Tensor&, const Tensor&, const Tensor&, const Tensor&, double) {
  LATHE_THROW(NotImplementedError, "zero_point_quantize: no CUDA kernel yet");
}
void zero_point_backward(Tensor&, Tensor&, Tensor&, const Tensor&, const Tensor&, const Tensor&,
                         const Tensor&, double) {
  LATHE_THROW(NotImplementedError, "zero_point_backward: no CUDA kernel yet");
}
void oscillation_step(Tensor&, Tensor&, double, double) {
  LATHE_THROW(NotImplementedError, "oscillation_step: no CUDA kernel yet");
}
void pact_quantize(Tensor&, const Tensor&, const Tensor&, double) {
  LATHE_THROW(NotImplementedError, "pact_quantize: no CUDA kernel yet");
}
void pact_backward(Tensor&, Tensor&, const Tensor&, const Tensor&, const Tensor&, double, bool) {
  LATHE_THROW(NotImplementedError, "pact_backward: no CUDA kernel yet");
}

}  // namespace lathe::kernels::cuda
