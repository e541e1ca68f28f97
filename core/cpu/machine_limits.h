#pragma once
// What a core can do at best, to which benchmarks relate their figures.

#include <cstdint>

#include "core/cpu/isa.h"

namespace lathe::cpu {

/// Runs `rounds` rounds of x -> x sink[0] + sink[1] on registers alone and leaves a result in sink[0];
/// returns the floating-point operations done.
LATHE_ISA_FUNCTION(double, fma_peak_f32, float* sink, int64_t rounds);

/// a = b + factor c, `rounds` times over n floats each: reads two streams, writes one. n is a multiple of 64.
LATHE_ISA_FUNCTION(void, triad_f32, float* a, const float* b, const float* c, float factor, int64_t n,
                   int64_t rounds);

}  // namespace lathe::cpu
