#pragma once
// The floating-point limit of a core, to which benchmarks relate their figures.

#include <cstdint>

#include "core/cpu/isa.h"

namespace lathe::cpu {

/// Runs `rounds` rounds of x -> x sink[0] + sink[1] on registers alone and leaves a result in sink[0];
/// returns the floating-point operations done.
LATHE_ISA_FUNCTION(double, fma_peak_f32, float* sink, int64_t rounds);

}  // namespace lathe::cpu
