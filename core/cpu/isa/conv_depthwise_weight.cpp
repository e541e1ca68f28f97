// Depthwise 3x3 micro-kernels of the weight gradient, see Note [Depthwise rows] in core/cpu/isa_depthwise.h.

#include "core/cpu/isa/conv_depthwise_load.h"
#include "core/cpu/isa_depthwise.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

constexpr int kPixels = kRegisters == 32 ? 8 : 4;  // of dy

/// Kernel rows [From, To) of P pixels of a row of dy; `at`: elements to the first pixel of x, the one before
/// it is there where `left`, the one after the last where `right`.
template <int P, int From, int To, class T>
[[gnu::always_inline]] inline void add_tile(Vec<T> (&acc)[9], const T* const (&x)[3], int64_t at, const T* dy,
                                            int64_t step, bool left, bool right) {
  Vec<T> g[P];
  load_all(g, dy, step);
  const auto add = [&](int q, int64_t from) {
#pragma GCC unroll 3
    for (int ky = From; ky < To; ++ky) {
      const Vec<T> v = load_kept(x[ky] + from);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        const int kx = q - p + 1;
        if (kx >= 0 && kx < 3) acc[ky * 3 + kx] += v * g[p];
      }
    }
  };
  if (left) add(-1, at - step);
#pragma GCC unroll 8
  for (int q = 0; q < P; ++q, at += step) {
    keep_index(at);
    add(q, at);
  }
  if (right) add(P, at);
}

/// Columns of the row from `column` on.
template <int P, int From, int To, class T>
[[gnu::always_inline]] inline void add_row(Vec<T> (&acc)[9], const DepthwiseWeightRow<T>& row,
                                           int64_t channel, int64_t column) {
  const int64_t step = row.channels;
  for (; column + P <= row.last_column; column += P) {
    const int64_t at = column * step + channel;
    for (const T* from : row.ahead) {
      if (from != nullptr) prefetch<P>(from + at, step);
    }
    if (row.ahead_dy != nullptr) prefetch<P>(row.ahead_dy + at, step);
    add_tile<P, From, To>(acc, row.in, at, row.dy + at, step, column > 0, column + P < row.width);
  }
  if constexpr (P > 1) {
    if (column < row.last_column) add_row<P / 2, From, To>(acc, row, channel, column);
  }
}

template <int From, int To, class T>
[[gnu::noinline]] void add_slots(const DepthwiseWeightRow<T>& row) {
  const int64_t last = row.channels - kLanes<T>;
  for (int64_t slot = 0; slot < row.slots; slot += kLanes<T>) {
    T* const dw = row.dw + slot;
    Vec<T> acc[9];
    load_all(acc, dw, row.slots);
    add_row<kPixels, From, To>(acc, row, slot < last ? slot : last, row.first_column);
    T* to = dw + From * 3 * row.slots;
#pragma GCC unroll 9
    for (int t = From * 3; t < To * 3; ++t, to += row.slots) {
      keep_address(to);
      store(to, acc[t]);
    }
  }
}

/// Vectors of channels side by side of stride 2.
constexpr int kVectors = kRegisters == 32 ? 2 : 1;

/// The taps kx of the kernel's rows [From, To) of V vectors: sums += x times dy.
template <int V, int From, int To, class T>
[[gnu::always_inline]] inline void add_pixel(Vec<T> (&acc)[V][9], const T* const (&x)[3],
                                             const int64_t (&at)[V], int64_t pixel, int kx,
                                             const Vec<T> (&g)[V]) {
#pragma GCC unroll 3
  for (int ky = From; ky < To; ++ky) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) acc[v][ky * 3 + kx] += load(x[ky] + at[v] + pixel) * g[v];
  }
}

/// What the next row reads where this one reads pixel p of dy.
template <int V, class T>
[[gnu::always_inline]] inline void prefetch_pair(const DepthwiseWeightRow<T>& row, const int64_t (&at)[V],
                                                 int64_t p) {
  const int64_t step = row.channels;
#pragma GCC unroll 2
  for (int v = 0; v < V; ++v) {
    for (const T* from : row.ahead) {
      if (from != nullptr) prefetch<2>(from + at[v] + 2 * p * step, step);
    }
    if (row.ahead_dy != nullptr) prefetch<1>(row.ahead_dy + at[v] + p * step, step);
  }
}

/// Stride 2, V vectors of channels from `slot` on: pixels of x pass by once, even ones meet one pixel of dy,
/// odd ones two.
template <int V, int From, int To, class T>
[[gnu::always_inline]] inline void add_pairs(const DepthwiseWeightRow<T>& row, int64_t slot) {
  const int64_t step = row.channels, last = row.channels - kLanes<T>;
  int64_t at[V];
  Vec<T> acc[V][9], g[V], next[V];
  T* const dw = row.dw + slot;
#pragma GCC unroll 2
  for (int v = 0; v < V; ++v) {
    const int64_t channel = slot + v * kLanes<T>;
    at[v] = channel < last ? channel : last;
    load_all(acc[v], dw + v * kLanes<T>, row.slots);
    g[v] = load(row.dy + at[v] + row.first_column * step);
  }
  int64_t p = row.first_column;
  if (p > 0) add_pixel<V, From, To>(acc, row.in, at, (2 * p - 1) * step, 0, g);
  for (; p + 1 < row.last_column; ++p) {
    const int64_t even = 2 * p * step, odd = even + step;
    prefetch_pair<V>(row, at, p);
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) next[v] = load(row.dy + at[v] + (p + 1) * step);
    add_pixel<V, From, To>(acc, row.in, at, even, 1, g);
    add_pixel<V, From, To>(acc, row.in, at, odd, 2, g);
    add_pixel<V, From, To>(acc, row.in, at, odd, 0, next);
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) g[v] = next[v];
  }
  prefetch_pair<V>(row, at, p);
  add_pixel<V, From, To>(acc, row.in, at, 2 * p * step, 1, g);
  if (2 * p + 1 < row.width) add_pixel<V, From, To>(acc, row.in, at, (2 * p + 1) * step, 2, g);
#pragma GCC unroll 2
  for (int v = 0; v < V; ++v) {
#pragma GCC unroll 9
    for (int t = From * 3; t < To * 3; ++t) store(dw + v * kLanes<T> + t * row.slots, acc[v][t]);
  }
}

template <int From, int To, class T>
[[gnu::noinline]] void add_strided(const DepthwiseWeightRow<T>& row) {
  int64_t slot = 0;
  for (; slot + kVectors * kLanes<T> <= row.slots; slot += kVectors * kLanes<T>)
    add_pairs<kVectors, From, To>(row, slot);
  for (; slot < row.slots; slot += kLanes<T>) add_pairs<1, From, To>(row, slot);
}

template <int From, int To, class T>
void run_rows(const DepthwiseWeightRow<T>& row) {
  row.stride == 1 ? add_slots<From, To>(row) : add_strided<From, To>(row);
}

template <class T>
void run(const DepthwiseWeightRow<T>& row) {
  if (row.in[0] != nullptr) {
    row.in[2] != nullptr ? run_rows<0, 3>(row) : run_rows<0, 2>(row);
  } else {
    row.in[2] != nullptr ? run_rows<1, 3>(row) : run_rows<1, 2>(row);
  }
}

}  // namespace

void depthwise_weight_row_f32(const DepthwiseWeightRow<float>& row) {
  run(row);
}
void depthwise_weight_row_f64(const DepthwiseWeightRow<double>& row) {
  run(row);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
