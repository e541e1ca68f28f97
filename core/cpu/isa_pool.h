#pragma once
// One output pixel of a pooling, compiled per instruction set (core/cpu/isa/pool.cpp).

#include <cstdint>

#include "core/cpu/isa.h"

namespace lathe::cpu {

/// Pixels [h0, h1) x [w0, w1) of an image (H, width, channels); not empty.
struct Window {
  int64_t h0, h1, w0, w1;
  int64_t width, channels;
};

/// y[c] = maximum over the window, NaN if it holds one; index[c] = h width + w of the first that attains it.
/// index may be null.
LATHE_ISA_FUNCTION(void, max_window_f32, float* y, int32_t* index, const float* image, const Window& window);
LATHE_ISA_FUNCTION(void, max_window_f64, double* y, int32_t* index, const double* image,
                   const Window& window);

/// y[c] = factor * sum over the window
LATHE_ISA_FUNCTION(void, sum_window_f32, float* y, const float* image, const Window& window, float factor);
LATHE_ISA_FUNCTION(void, sum_window_f64, double* y, const double* image, const Window& window, double factor);

/// image[h, w, c] += factor dy[c] over the window
LATHE_ISA_FUNCTION(void, spread_window_f32, float* image, const float* dy, const Window& window,
                   float factor);
LATHE_ISA_FUNCTION(void, spread_window_f64, double* image, const double* dy, const Window& window,
                   double factor);

}  // namespace lathe::cpu
