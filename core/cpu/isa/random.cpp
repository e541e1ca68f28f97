#include "core/cpu/isa/philox_lanes.h"
#include "core/cpu/isa_random.h"
#include "core/philox.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

template <class T>
void mask(T* y, const T* x, const uint32_t* words, int64_t n, uint32_t threshold, T factor) {
  for (int64_t i = 0; i < n; ++i) {
    const T kept = x[i] * factor;
    // Shifted words are below 2^24, so that a signed comparison, which SSE2 has, serves.
    y[i] = static_cast<int32_t>(words[i] >> 8) >= static_cast<int32_t>(threshold) ? kept : T(0);
  }
}

}  // namespace

void philox_words(uint32_t* words, const Philox& philox, uint64_t first_block, int64_t blocks) {
  const uint32_t k0 = static_cast<uint32_t>(philox.seed), k1 = static_cast<uint32_t>(philox.seed >> 32);
  Words lane{};
  for (int l = 0; l < kWide; ++l) lane[l] = static_cast<uint64_t>(l);
  for (int64_t done = 0; done < blocks; done += kWide) {
    const Words index = lane + (first_block + static_cast<uint64_t>(done));
    Lanes lanes{index, index >> 32, Words{} + philox.stream, Words{} + philox.step};
    draw(lanes, k0, k1);
    const int64_t wide = blocks - done < kWide ? blocks - done : kWide;
    uint32_t* out = words + 4 * done;
    for (int64_t l = 0; l < wide; ++l) {
      out[4 * l] = static_cast<uint32_t>(lanes.c0[l]);
      out[4 * l + 1] = static_cast<uint32_t>(lanes.c1[l]);
      out[4 * l + 2] = static_cast<uint32_t>(lanes.c2[l]);
      out[4 * l + 3] = static_cast<uint32_t>(lanes.c3[l]);
    }
  }
}

void mask_f32(float* y, const float* x, const uint32_t* words, int64_t n, uint32_t threshold, float factor) {
  mask(y, x, words, n, threshold, factor);
}
void mask_f64(double* y, const double* x, const uint32_t* words, int64_t n, uint32_t threshold,
              double factor) {
  mask(y, x, words, n, threshold, factor);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
