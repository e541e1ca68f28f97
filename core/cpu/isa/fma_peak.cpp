#include "core/cpu/fma_peak.h"

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

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
