#pragma once
// Philox in bulk, compiled per instruction set (core/cpu/isa/random.cpp).

#include <cstdint>

#include "core/cpu/isa.h"

namespace lathe {
struct Philox;
}

namespace lathe::cpu {

/// words[0 .. 4 blocks): philox.word(4 first_block), philox.word(4 first_block + 1), ...
LATHE_ISA_FUNCTION(void, philox_words, uint32_t* words, const Philox& philox, uint64_t first_block,
                   int64_t blocks);

/// y[i] = x[i] factor if (words[i] >> 8) >= threshold, else 0
LATHE_ISA_FUNCTION(void, mask_f32, float* y, const float* x, const uint32_t* words, int64_t n,
                   uint32_t threshold, float factor);
LATHE_ISA_FUNCTION(void, mask_f64, double* y, const double* x, const uint32_t* words, int64_t n,
                   uint32_t threshold, double factor);

}  // namespace lathe::cpu
