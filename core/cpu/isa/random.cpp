#include "core/cpu/isa_random.h"
#include "core/philox.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

constexpr int kWide = 16;  // blocks drawn side by side: one vector of AVX-512, two of AVX2

/// The four words of kWide counters; draw() makes Philox::block of each.
struct Lanes {
  uint32_t c0[kWide], c1[kWide], c2[kWide], c3[kWide];
};

void draw(Lanes& lanes, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    for (int l = 0; l < kWide; ++l) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * lanes.c0[l];
      const uint64_t p1 = uint64_t{0xCD9E8D57u} * lanes.c2[l];
      lanes.c0[l] = static_cast<uint32_t>(p1 >> 32) ^ lanes.c1[l] ^ k0;
      lanes.c1[l] = static_cast<uint32_t>(p1);
      lanes.c2[l] = static_cast<uint32_t>(p0 >> 32) ^ lanes.c3[l] ^ k1;
      lanes.c3[l] = static_cast<uint32_t>(p0);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

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
  for (int64_t done = 0; done < blocks; done += kWide) {
    Lanes lanes;
    for (int l = 0; l < kWide; ++l) {
      const uint64_t index = first_block + static_cast<uint64_t>(done + l);
      lanes.c0[l] = static_cast<uint32_t>(index);
      lanes.c1[l] = static_cast<uint32_t>(index >> 32);
      lanes.c2[l] = philox.stream;
      lanes.c3[l] = philox.step;
    }
    draw(lanes, k0, k1);
    const int64_t wide = blocks - done < kWide ? blocks - done : kWide;
    uint32_t* out = words + 4 * done;
    for (int64_t l = 0; l < wide; ++l) {
      out[4 * l] = lanes.c0[l];
      out[4 * l + 1] = lanes.c1[l];
      out[4 * l + 2] = lanes.c2[l];
      out[4 * l + 3] = lanes.c3[l];
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
