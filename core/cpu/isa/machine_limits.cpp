#include "core/cpu/machine_limits.h"

#include "core/simd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {

double fma_peak_f32(float* sink, int64_t rounds) {
  constexpr int kChains = 12;  // independent: latency 4 or 5, two units
  const Vec<float> factor = broadcast(sink[0]), term = broadcast(sink[1]);
  Vec<float> acc[kChains];
  for (int i = 0; i < kChains; ++i) acc[i] = broadcast(static_cast<float>(i));
  for (int64_t n = 0; n < rounds; ++n) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) acc[i] = acc[i] * factor + term;
  }
  Vec<float> sum{};
  for (int i = 0; i < kChains; ++i) sum += acc[i];
  sink[0] = sum[0];
  return 2.0 * kChains * kLanes<float> * static_cast<double>(rounds);
}

void triad_f32(float* a, const float* b, const float* c, float factor, int64_t n, int64_t rounds) {
  constexpr int kStep = 64;  // a cache line or more of each stream, whatever the vectors' width
  const Vec<float> scale = broadcast(factor);
  for (int64_t round = 0; round < rounds; ++round) {
    for (int64_t i = 0; i < n; i += kStep) {
#pragma GCC unroll 16
      for (int j = 0; j < kStep; j += kLanes<float>)
        store(a + i + j, load(b + i + j) + scale * load(c + i + j));
    }
    asm volatile("" ::: "memory");  // a round is not the next one
  }
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
