#pragma once
// Philox (core/philox.h) on the lanes of a vector, for files compiled per instruction set. Everything has
// internal linkage: see core/cpu/isa.h.

#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

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

inline void draw(Lanes& c, uint32_t k0, uint32_t k1) {
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

}  // namespace
}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
