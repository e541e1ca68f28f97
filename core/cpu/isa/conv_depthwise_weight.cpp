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

template <class T>
void run(const DepthwiseWeightRow<T>& row) {
  if (row.in[0] != nullptr) {
    row.in[2] != nullptr ? add_slots<0, 3>(row) : add_slots<0, 2>(row);
  } else {
    row.in[2] != nullptr ? add_slots<1, 3>(row) : add_slots<1, 2>(row);
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
