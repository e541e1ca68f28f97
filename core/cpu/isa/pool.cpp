#include "core/cpu/isa_pool.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

/// fn(pixel's number) over the window, row by row.
template <class Fn>
void for_pixels(const Window& window, const Fn& fn) {
  for (int64_t h = window.h0; h < window.h1; ++h) {
    for (int64_t w = window.w0; w < window.w1; ++w) fn(h * window.width + w);
  }
}

template <class T>
void max_window(T* __restrict y, int32_t* __restrict index, const T* __restrict image, const Window& window) {
  const int64_t n = window.channels;
  const int64_t first = window.h0 * window.width + window.w0;
  for (int64_t c = 0; c < n; ++c) y[c] = image[first * n + c];
  if (index == nullptr) {
    for_pixels(window, [=](int64_t pixel) {
      const T* __restrict x = image + pixel * n;
      for (int64_t c = 0; c < n; ++c) y[c] = (x[c] > y[c]) | (x[c] != x[c]) ? x[c] : y[c];
    });
    return;
  }
  for (int64_t c = 0; c < n; ++c) index[c] = static_cast<int32_t>(first);
  for_pixels(window, [=](int64_t pixel) {
    const T* __restrict x = image + pixel * n;
    for (int64_t c = 0; c < n; ++c) {
      const bool larger = (x[c] > y[c]) | (x[c] != x[c]);
      y[c] = larger ? x[c] : y[c];
      index[c] = larger ? static_cast<int32_t>(pixel) : index[c];
    }
  });
}

template <class T>
void sum_window(T* __restrict y, const T* __restrict image, const Window& window, T factor) {
  const int64_t n = window.channels;
  for (int64_t c = 0; c < n; ++c) y[c] = 0;
  for_pixels(window, [=](int64_t pixel) {
    const T* __restrict x = image + pixel * n;
    for (int64_t c = 0; c < n; ++c) y[c] += x[c];
  });
  for (int64_t c = 0; c < n; ++c) y[c] *= factor;
}

template <class T>
void spread_window(T* __restrict image, const T* __restrict dy, const Window& window, T factor) {
  const int64_t n = window.channels;
  for_pixels(window, [=](int64_t pixel) {
    T* __restrict dx = image + pixel * n;
    for (int64_t c = 0; c < n; ++c) dx[c] += factor * dy[c];
  });
}

}  // namespace

void max_window_f32(float* y, int32_t* index, const float* image, const Window& window) {
  max_window(y, index, image, window);
}
void max_window_f64(double* y, int32_t* index, const double* image, const Window& window) {
  max_window(y, index, image, window);
}
void sum_window_f32(float* y, const float* image, const Window& window, float factor) {
  sum_window(y, image, window, factor);
}
void sum_window_f64(double* y, const double* image, const Window& window, double factor) {
  sum_window(y, image, window, factor);
}
void spread_window_f32(float* image, const float* dy, const Window& window, float factor) {
  spread_window(image, dy, window, factor);
}
void spread_window_f64(double* image, const double* dy, const Window& window, double factor) {
  spread_window(image, dy, window, factor);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
