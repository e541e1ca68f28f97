// Depthwise 3x3 micro-kernels of whole narrow images, see Note [Depthwise rows] in core/cpu/isa_depthwise.h.

#include "core/cpu/isa/conv_depthwise_load.h"
#include "core/cpu/isa_depthwise.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

constexpr int kSums = kRegisters == 32 ? 16 : 8;

/// The row (or column) of outputs that meets row `in` of inputs at tap k; -1: none.
template <int N>
constexpr int output_of(int in, int k) {
  const int out = in + 1 - k;
  return out < N ? out : -1;
}

/// Calls visit(tap, output of the group, x) for each product of R rows of outputs from `first` on, inputs one
/// after the other in the order of memory.
template <int N, int R, int First, class T, class Visit>
[[gnu::always_inline]] inline void each_product(const T* x, int64_t step, const Visit& visit) {
  constexpr int kFrom = First > 0 ? First - 1 : 0, kTo = First + R < N ? First + R + 1 : N;
  x += kFrom * N * step;
#pragma GCC unroll 4
  for (int u = kFrom; u < kTo; ++u) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v, x += step) {
      keep_address(x);
      const Vec<T> value = load_kept(x);
#pragma GCC unroll 9
      for (int t = 0; t < 9; ++t) {
        const int r = output_of<N>(u, t / 3) - First, p = output_of<N>(v, t % 3);
        if (r >= 0 && r < R && p >= 0) visit(t, r * N + p, value);
      }
    }
  }
}

/// Rows of outputs from First on.
template <int N, int R, int First, class T>
[[gnu::always_inline]] inline void make_rows(T* y, const T* x, int64_t step, const Vec<T> (&w)[9],
                                             Vec<T> start) {
  Vec<T> acc[R * N];
#pragma GCC unroll 16
  for (int i = 0; i < R * N; ++i) acc[i] = start;
  each_product<N, R, First>(x, step, [&](int t, int i, Vec<T> v) { acc[i] += v * w[t]; });
  T* to = y + First * N * step;
#pragma GCC unroll 16
  for (int i = 0; i < R * N; ++i, to += step) {
    keep_address(to);
    store(to, acc[i]);
  }
  if constexpr (First + R < N) make_rows<N, R, First + R>(y, x, step, w, start);
}

/// Prefetches a vector of channels of an image of N pixels.
template <int N, class T>
[[gnu::always_inline]] inline void prefetch_image(const T* from, int64_t offset, int64_t step) {
  if (from != nullptr) prefetch<N, 2>(from + offset, step);
}

template <int N, class T>
[[gnu::noinline]] void make_images(const DepthwiseImages<T>& job) {
  constexpr int kRows = kSums / N < N ? kSums / N : N;
  const int64_t step = job.channels, last = step - kLanes<T>;
  for (int64_t slot = 0; slot < job.slots; slot += kLanes<T>) {
    const int64_t c = slot < last ? slot : last;
    Vec<T> w[9];
    load_all(w, job.w + slot, job.slots);
    const Vec<T> start = job.bias == nullptr ? Vec<T>{} : load(job.bias + slot);
    for (int64_t n = 0; n < job.count; ++n) {
      const int64_t at = n * N * N * step + c;
      prefetch_image<N * N>(job.ahead[0], at, step);
      prefetch_image<N * N>(job.ahead[1], at, step);
      make_rows<N, kRows, 0>(job.out + at, job.in + at, step, w, start);
    }
  }
}

/// The products of R rows of dy from First on.
template <int N, int R, int First, int Chains, class T>
[[gnu::always_inline]] inline void add_rows(Vec<T> (&acc)[9][Chains], const T* dy, const T* x, int64_t step) {
  Vec<T> g[R * N];
  load_all(g, dy + First * N * step, step);
  each_product<N, R, First>(x, step, [&](int t, int i, Vec<T> v) { acc[t][i % Chains] += v * g[i]; });
  if constexpr (First + R < N) add_rows<N, R, First + R>(acc, dy, x, step);
}

template <int N, class T>
[[gnu::noinline]] void add_images(const DepthwiseImages<T>& job) {
  constexpr int kRows = kRegisters == 32 ? 2 : 1, kChains = kRegisters == 32 ? 2 : 1;
  const int64_t step = job.channels, last = step - kLanes<T>;
  for (int64_t slot = 0; slot < job.slots; slot += kLanes<T>) {
    const int64_t c = slot < last ? slot : last;
    Vec<T> acc[9][kChains] = {};
    for (int64_t n = 0; n < job.count; ++n) {
      const int64_t at = n * N * N * step + c;
      prefetch_image<N * N>(job.ahead[0], at, step);
      prefetch_image<N * N>(job.ahead[1], at, step);
      add_rows<N, kRows, 0>(acc, job.dy + at, job.in + at, step);
    }
    T* to = job.dw + slot;
#pragma GCC unroll 9
    for (int t = 0; t < 9; ++t, to += job.slots) {
      keep_address(to);
      const Vec<T> sum = kChains == 2 ? acc[t][0] + acc[t][kChains - 1] : acc[t][0];
      store(to, job.accumulate ? load(to) + sum : sum);
    }
  }
}

template <class T>
void run(const DepthwiseImages<T>& job) {
  job.size == 4 ? make_images<4>(job) : make_images<2>(job);
}
template <class T>
void run_weight(const DepthwiseImages<T>& job) {
  job.size == 4 ? add_images<4>(job) : add_images<2>(job);
}

}  // namespace

void depthwise_images_f32(const DepthwiseImages<float>& images) {
  run(images);
}
void depthwise_images_f64(const DepthwiseImages<double>& images) {
  run(images);
}
void depthwise_weight_images_f32(const DepthwiseImages<float>& images) {
  run_weight(images);
}
void depthwise_weight_images_f64(const DepthwiseImages<double>& images) {
  run_weight(images);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
