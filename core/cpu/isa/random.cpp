#include "core/cpu/isa_random.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif
#include "core/philox.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

#if defined(LATHE_ISA_v4)
constexpr int kWide = 8;
#elif defined(LATHE_ISA_v3)
constexpr int kWide = 4;
#else
constexpr int kWide = 2;
#endif

/// One 32-bit word of kWide counters, each in the low half of a 64-bit lane; the high halves hold anything.
typedef uint64_t Words __attribute__((vector_size(kWide * 8)));

/// The 64-bit products of the low halves. GCC 12 takes three multiplications for one unless told; its
/// unmasked AVX-512 product warns of an uninitialised operand.
inline Words multiply(Words a, uint32_t b) {
#if defined(LATHE_ISA_v4)
  return reinterpret_cast<Words>(
      _mm512_maskz_mul_epu32(0xFF, reinterpret_cast<__m512i>(a), _mm512_set1_epi64(b)));
#elif defined(LATHE_ISA_v3)
  return reinterpret_cast<Words>(_mm256_mul_epu32(reinterpret_cast<__m256i>(a), _mm256_set1_epi64x(b)));
#elif defined(__SSE2__)
  return reinterpret_cast<Words>(_mm_mul_epu32(reinterpret_cast<__m128i>(a), _mm_set1_epi64x(b)));
#else
  return (a & 0xFFFFFFFFu) * b;
#endif
}

/// The four words of kWide counters; draw() turns them into Philox::block of each.
struct Lanes {
  Words c0, c1, c2, c3;
};

void draw(Lanes& c, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const Words p0 = multiply(c.c0, 0xD2511F53u), p1 = multiply(c.c2, 0xCD9E8D57u);
    c.c0 = (p1 >> 32) ^ c.c1 ^ uint64_t { k0 };
    c.c1 = p1;
    c.c2 = (p0 >> 32) ^ c.c3 ^ uint64_t { k1 };
    c.c3 = p0;
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
