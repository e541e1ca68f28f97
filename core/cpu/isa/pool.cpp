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

// A register of this instruction set: GCC 12 takes wider vectors apart into scalars.
#if defined(LATHE_ISA_v4)
constexpr int kBytes = 64;
#elif defined(LATHE_ISA_v3)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float Value __attribute__((vector_size(kBytes), aligned(4), may_alias));
  using Lane = int32_t;
  typedef int32_t Index __attribute__((vector_size(kBytes), aligned(4), may_alias));
};
template <>
struct VectorOf<double> {
  typedef double Value __attribute__((vector_size(kBytes), aligned(8), may_alias));
  using Lane = int64_t;
  typedef int64_t Index __attribute__((vector_size(kBytes), aligned(8), may_alias));
};

/// Channels [c, c + lanes): the running maximum stays in registers over the window.
template <class T>
void max_window_block(T* y, int32_t* index, const T* image, const Window& window, int64_t c) {
  using Value = typename VectorOf<T>::Value;
  using Index = typename VectorOf<T>::Index;
  using Lane = typename VectorOf<T>::Lane;
  constexpr int64_t kLanes = kBytes / static_cast<int64_t>(sizeof(T));
  const T* x = image + c;
  const int64_t first = window.h0 * window.width + window.w0;
  Value best = *reinterpret_cast<const Value*>(x + first * window.channels);
  Index at = Index{} + static_cast<Lane>(first);
  for_pixels(window, [&](int64_t pixel) {
    const Value value = *reinterpret_cast<const Value*>(x + pixel * window.channels);
    const Index larger = (value > best) | (value != value);
    best = larger ? value : best;
    at = larger ? Index{} + static_cast<Lane>(pixel) : at;
  });
  *reinterpret_cast<Value*>(y + c) = best;
  if (index == nullptr) return;
  for (int64_t l = 0; l < kLanes; ++l) index[c + l] = static_cast<int32_t>(at[l]);
}

template <class T>
void max_window(T* y, int32_t* index, const T* image, const Window& window) {
  constexpr int64_t kLanes = kBytes / static_cast<int64_t>(sizeof(T));
  int64_t c = 0;
  for (; c + kLanes <= window.channels; c += kLanes) max_window_block(y, index, image, window, c);
  for (; c < window.channels; ++c) {
    int64_t at = window.h0 * window.width + window.w0;
    T best = image[at * window.channels + c];
    for_pixels(window, [&](int64_t pixel) {
      const T value = image[pixel * window.channels + c];
      const bool larger = (value > best) | (value != value);
      best = larger ? value : best;
      at = larger ? pixel : at;
    });
    y[c] = best;
    if (index != nullptr) index[c] = static_cast<int32_t>(at);
  }
}

template <class T>
void sum_window(T* y, const T* image, const Window& window, T factor) {
  using Value = typename VectorOf<T>::Value;
  constexpr int64_t kLanes = kBytes / static_cast<int64_t>(sizeof(T));
  const int64_t n = window.channels;
  int64_t c = 0;
  for (; c + kLanes <= n; c += kLanes) {
    Value total{};
    for_pixels(window,
               [&](int64_t pixel) { total += *reinterpret_cast<const Value*>(image + pixel * n + c); });
    *reinterpret_cast<Value*>(y + c) = total * factor;
  }
  for (; c < n; ++c) {
    T total = 0;
    for_pixels(window, [&](int64_t pixel) { total += image[pixel * n + c]; });
    y[c] = total * factor;
  }
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
