// Compiles the headers that host and device share, so that they stay fit for both.
#include "core/philox.h"

namespace lathe {

__global__ void philox_words(uint32_t* words, Philox philox, uint64_t count) {
  const uint64_t i = blockIdx.x * static_cast<uint64_t>(blockDim.x) + threadIdx.x;
  if (i < count) words[i] = philox.word(i);
}

__global__ void philox_uniforms(float* values, Philox philox, uint64_t count) {
  const uint64_t i = blockIdx.x * static_cast<uint64_t>(blockDim.x) + threadIdx.x;
  if (i < count) values[i] = philox.uniform(i);
}

}  // namespace lathe
