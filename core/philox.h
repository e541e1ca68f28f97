#pragma once
// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a counter-based
// generator, one header for CPU and CUDA.

#include <cstdint>
#include <string_view>

#include "core/hd.h"

namespace lathe {

/// Word i of a stream is a pure function of (seed, stream, step, i): no state, no order of calls, nothing to
/// save. `stream` is stream_id(name); `step` is the training step, epoch or sample index, by the caller's
/// convention.
struct Philox {
  uint64_t seed = 0;
  uint32_t stream = 0;
  uint32_t step = 0;

  struct Block {
    uint32_t word[4];
  };

  /// Words 4*index .. 4*index+3.
  LATHE_HD Block block(uint64_t index) const {
    uint32_t c0 = static_cast<uint32_t>(index), c1 = static_cast<uint32_t>(index >> 32), c2 = stream,
             c3 = step;
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0;
      const uint64_t p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
      const uint32_t h0 = static_cast<uint32_t>(p0 >> 32), l0 = static_cast<uint32_t>(p0);
      const uint32_t h1 = static_cast<uint32_t>(p1 >> 32), l1 = static_cast<uint32_t>(p1);
      c0 = h1 ^ c1 ^ k0;
      c1 = l1;
      c2 = h0 ^ c3 ^ k1;
      c3 = l0;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
  }

  LATHE_HD uint32_t word(uint64_t i) const { return block(i >> 2).word[i & 3]; }

  /// In [0, 1), a multiple of 2^-24: exact in float.
  LATHE_HD static float to_uniform(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }
  LATHE_HD float uniform(uint64_t i) const { return to_uniform(word(i)); }

  /// In [0, n), n > 0; the bias of the multiply-shift is below n / 2^32.
  LATHE_HD uint32_t below(uint64_t i, uint32_t n) const {
    return static_cast<uint32_t>((static_cast<uint64_t>(word(i)) * n) >> 32);
  }

  LATHE_HD Philox at(uint32_t other_step) const { return {seed, stream, other_step}; }
};

/// FNV-1a of a stream's name ("layer1.0.conv1.weight", "shuffle", ...).
constexpr uint32_t stream_id(std::string_view name) {
  uint32_t hash = 2166136261u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

}  // namespace lathe
