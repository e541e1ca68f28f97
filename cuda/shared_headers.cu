// Compiles the headers that host and device share, so that they stay fit for both.
#include "core/philox.h"
#include "quant/math/absmax.h"
#include "quant/math/codeq.h"
#include "quant/math/diffq.h"
#include "quant/math/dq.h"
#include "quant/math/half.h"
#include "quant/math/lsq.h"
#include "quant/math/minmax.h"
#include "quant/math/noise.h"
#include "quant/math/oscillation.h"
#include "quant/math/pact.h"
#include "quant/math/quant_noise.h"
#include "quant/math/range_search.h"

namespace lathe {

__global__ void philox_words(uint32_t* words, Philox philox, uint64_t count) {
  const uint64_t i = blockIdx.x * static_cast<uint64_t>(blockDim.x) + threadIdx.x;
  if (i < count) words[i] = philox.word(i);
}

__global__ void philox_uniforms(float* values, Philox philox, uint64_t count) {
  const uint64_t i = blockIdx.x * static_cast<uint64_t>(blockDim.x) + threadIdx.x;
  if (i < count) values[i] = philox.uniform(i);
}

__global__ void normals(float* values, Philox philox, uint64_t count) {
  const uint64_t i = blockIdx.x * static_cast<uint64_t>(blockDim.x) + threadIdx.x;
  if (i >= count) return;
  const Philox::Block block = philox.block(i);
  quant::diffq_normals(block.word[0], block.word[1], values[2 * i], values[2 * i + 1]);
}

__global__ void quantized_values(float* values, const float* w, float step, float levels, uint64_t count) {
  const uint64_t i = blockIdx.x * static_cast<uint64_t>(blockDim.x) + threadIdx.x;
  if (i >= count) return;
  const quant::CodeqGrid<float> grid = quant::codeq_grid(1.0f, quant::codeq_width(1.0f, 0.5f),
                                                         quant::codeq_bits(0.5f, 2.0f, 8.0f), 1e-8f, 0.0f);
  quant::Oscillation<float> history{};
  values[i] = quant::lsq_value(w[i], step, 0.0f, -levels, levels) + quant::absmax_value(w[i], step, levels) +
              quant::minmax_value(w[i], levels, 1.0f, 0.0f) + quant::codeq_value(w[i], grid) +
              quant::diffq_noisy(w[i], 1.0f, quant::diffq_width_of_bits(0.0f, 2.0f, 15.0f).unit, 0.5f) +
              quant::dq_u3_value(w[i], step, 1.0f) + quant::pact_value(w[i], 1.0f, levels) +
              quant::scalar_noise_value(w[i], step, 1.0f, levels, false) +
              quant::oscillation_step(history, w[i], 0.1f, 0.0f);
}

}  // namespace lathe
