#pragma once
// Depthwise convolution: every output channel has one input channel. Jobs of the micro-kernels
// (core/cpu/isa/conv_depthwise.cpp); the drivers' entry points stand in conv_drive.h.
//
// The scratch is that of Note [Convolution tiling], blocked by 16 channels, so padding and stride are settled
// before the kernel starts: y[p][c] = bias[c] + sum over taps t of scratch[p + offset(t) + c] * w[t][c] needs
// no test of borders. A tile is P pixels x one vector of channels: one load and one FMA per tap and pixel,
// one load of weights per tap. Traffic to memory (8 bytes per 9 multiplications) is the limit, not the FMAs.
// With a channel multiplier m, output channel k reads input channel k / m: the copy to scratch repeats it.

#include <cstdint>

#include "core/cpu/conv_tile.h"

namespace lathe::cpu {

template <class T>
struct ConvDepthwiseJob {
  T* y = nullptr;  ///< or the packed gradient
  const T* x = nullptr;
  const T* w = nullptr;              ///< [block][tap][16], or dy
  const T* bias = nullptr;           ///< channels values or null
  const int64_t* offsets = nullptr;  ///< [block][tap]
  int64_t taps = 0, channels = 0;
  ConvLines lines;
  bool accumulate = false;  ///< of the gradient
};

LATHE_ISA_FUNCTION(void, conv_depthwise_f32, const ConvDepthwiseJob<float>& job);
LATHE_ISA_FUNCTION(void, conv_depthwise_f64, const ConvDepthwiseJob<double>& job);

/// y [block][tap][16] = or += sum over pixels of scratch[p + offset(tap) + c] * dy[p][c]; lines.y_* step in
/// dy.
LATHE_ISA_FUNCTION(void, conv_depthwise_weight_f32, const ConvDepthwiseJob<float>& job);
LATHE_ISA_FUNCTION(void, conv_depthwise_weight_f64, const ConvDepthwiseJob<double>& job);

struct ConvShape;

bool is_depthwise(const ConvShape& shape);

}  // namespace lathe::cpu
