// Depthwise 3x3 micro-kernels, see Note [Depthwise rows] in core/cpu/isa_depthwise.h.

#include "core/cpu/isa/conv_ahead.h"
#include "core/cpu/isa_depthwise.h"
#include "core/simd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

constexpr int kTile = kRegisters == 32 ? 6 : 4;  // pixels side by side
constexpr int kAll = 7;  // a mask of taps: bit 0 the first row (or column), bit 2 the last

/// Three rows of inputs, one vector of channels: pixel j of row ky at at[ky] + j step, j = 0 the column of
/// the middle tap.
template <class T>
struct Window {
  const T* at[3];
  int64_t step;

  [[gnu::always_inline]] void move(int64_t pixels) {
    for (int ky = 0; ky < 3; ++ky) at[ky] += pixels * step;
  }
};

/// In a register: the compiler would rather load it again for each FMA.
template <class V>
[[gnu::always_inline]] inline void keep([[maybe_unused]] V& v) {
#if defined(__x86_64__)
  asm("" : "+v"(v));
#endif
}

/// Calls visit(tap, tile's pixel, input) for each product of P neighbouring outputs, inputs one after the
/// other.
template <class T, int S, int Rows, int Columns, int P, class Visit>
[[gnu::always_inline]] inline void each_product(const Window<T>& x, const Visit& visit) {
#pragma GCC unroll 16
  for (int q = 0; q < (P - 1) * S + 3; ++q) {
    if ((q == 0 && (Columns & 1) == 0) || (q == (P - 1) * S + 2 && (Columns & 4) == 0)) continue;
#pragma GCC unroll 3
    for (int ky = 0; ky < 3; ++ky) {
      if ((Rows >> ky & 1) == 0) continue;
      Vec<T> v = load(x.at[ky] + (q - 1) * x.step);
      keep(v);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        const int kx = q - p * S;
        if (kx >= 0 && kx < 3) visit(ky * 3 + kx, p, v);
      }
    }
  }
}

/// Calls tile.template operator()<Rows, Columns, P>(window, first output pixel) along a line of outputs.
template <class T, int S, int Rows, class Tile>
[[gnu::always_inline]] inline void along(const DepthwiseBand<T>& band, const DepthwiseRow<T>& row, int64_t c,
                                         const Tile& tile) {
  const int64_t last = band.out_width - 1;
  const bool cut = last * S + 1 == band.width;  // the last column has no third tap
  Window<T> x;
  x.step = band.channels;
  for (int ky = 0; ky < 3; ++ky) x.at[ky] = ((Rows >> ky & 1) == 0 ? row.in[1] : row.in[ky]) + c;
  if (last == 3 || last <= 1) {  // small maps: a row is one tile
    if (last == 3) return cut ? tile.template run<Rows, 2, 4>(x, 0) : tile.template run<Rows, 6, 4>(x, 0);
    if (last == 1) return cut ? tile.template run<Rows, 2, 2>(x, 0) : tile.template run<Rows, 6, 2>(x, 0);
    return cut ? tile.template run<Rows, 2, 1>(x, 0) : tile.template run<Rows, 6, 1>(x, 0);
  }
  tile.template run<Rows, 6, 1>(x, 0);
  x.move(S);
  int64_t j = 1;
  const int64_t whole = cut ? last : last + 1;
  for (; j + kTile <= whole; j += kTile, x.move(kTile * S)) tile.template run<Rows, kAll, kTile>(x, j);
  for (; j + 2 <= whole; j += 2, x.move(2 * S)) tile.template run<Rows, kAll, 2>(x, j);
  if (j < whole) {
    tile.template run<Rows, kAll, 1>(x, j);
    x.move(S);
    ++j;
  }
  if (cut) tile.template run<Rows, 3, 1>(x, j);
}

/// along() with the mask of the rows that exist.
template <class T, int S, class Tile>
[[gnu::always_inline]] inline void along_any(const DepthwiseBand<T>& band, const DepthwiseRow<T>& row,
                                             int64_t c, const Tile& tile) {
  const bool top = row.in[0] != nullptr, bottom = row.in[2] != nullptr;
  if (top && bottom) {
    along<T, S, kAll>(band, row, c, tile);
  } else if (bottom) {
    along<T, S, 6>(band, row, c, tile);
  } else if (top) {
    along<T, S, 3>(band, row, c, tile);
  } else {
    along<T, S, 2>(band, row, c, tile);
  }
}

template <class T, int S>
struct ForwardTile {
  const Vec<T> (&w)[9];
  Vec<T> start;
  T* y;
  int64_t step;

  template <int Rows, int Columns, int P>
  [[gnu::always_inline]] void run(const Window<T>& x, int64_t j) const {
    Vec<T> acc[P];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) acc[p] = start;
    each_product<T, S, Rows, Columns, P>(x, [&](int t, int p, Vec<T> v) { acc[p] += v * w[t]; });
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) store(y + (j + p) * step, acc[p]);
  }
};

/// One vector of channels of every row.
template <class T, int S>
[[gnu::noinline]] void forward(const DepthwiseBand<T>& band, int64_t c, Ahead (&ahead)[2]) {
  Vec<T> w[9];
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) w[t] = load(band.w + t * band.channels + c);
  const Vec<T> start = band.bias == nullptr ? Vec<T>{} : load(band.bias + c);
  for (int64_t r = 0; r < band.row_count; ++r) {
    ahead[0].advance();
    ahead[1].advance();
    const DepthwiseRow<T>& row = band.rows[r];
    along_any<T, S>(band, row, c, ForwardTile<T, S>{w, start, row.out[0] + c, band.channels});
  }
}

/// Sums of even and of odd pixels apart, where registers last: the nine chains alone are just as long as the
/// FMA's latency allows.
constexpr int kSums = kRegisters == 32 ? 2 : 1;

template <class T, int S>
struct WeightTile {
  Vec<T> (&acc)[kSums][9];
  const T* dy;
  int64_t step;

  template <int Rows, int Columns, int P>
  [[gnu::always_inline]] void run(const Window<T>& x, int64_t j) const {
    Vec<T> g[P];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) g[p] = load(dy + (j + p) * step);
    each_product<T, S, Rows, Columns, P>(x, [&](int t, int p, Vec<T> v) { acc[p % kSums][t] += v * g[p]; });
  }
};

template <class T, int S>
[[gnu::noinline]] void weight(const DepthwiseBand<T>& band, int64_t c, Ahead (&ahead)[2]) {
  Vec<T> acc[kSums][9] = {};
  for (int64_t r = 0; r < band.row_count; ++r) {
    ahead[0].advance();
    ahead[1].advance();
    const DepthwiseRow<T>& row = band.rows[r];
    along_any<T, S>(band, row, c, WeightTile<T, S>{acc, row.dy + c, band.channels});
  }
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) {
    T* to = band.dw + t * band.channels + c;
    Vec<T> sum = acc[0][t];
    for (int n = 1; n < kSums; ++n) sum += acc[n][t];
    store(to, load(to) + sum);
  }
}

/// The gradients of pixels (2i, 2j) ... (2i + 1, 2j + 1), column 2j + 1 where Right, row 2i + 1 where Odd,
/// from dy a of (i, j), b of (i, j + 1), c of (i + 1, j), d of (i + 1, j + 1).
template <bool Odd, bool Right, class T>
[[gnu::always_inline]] inline void spread(const Vec<T> (&w)[9], T* even, T* odd, int64_t step, Vec<T> a,
                                          Vec<T> b, Vec<T> c, Vec<T> d) {
  store(even, a * w[4]);
  if (Right) store(even + step, a * w[5] + b * w[3]);
  if (Odd) store(odd, a * w[7] + c * w[1]);
  if (Odd && Right) store(odd + step, a * w[8] + b * w[6] + c * w[2] + d * w[0]);
}

/// A pair of rows of dx; Below: dy of i + 1 exists.
template <class T, bool Odd, bool Below>
[[gnu::always_inline]] inline void spread_line(const DepthwiseBand<T>& band, const DepthwiseRow<T>& row,
                                               int64_t at, const Vec<T> (&w)[9]) {
  const int64_t step = band.channels, last = band.out_width - 1;
  const T* upper = row.in[0] + at;
  const T* lower = (Below ? row.in[1] : row.in[0]) + at;
  T* even = row.out[0] + at;
  T* odd = Odd ? row.out[1] + at : nullptr;
  const Vec<T> none{};
  Vec<T> a = load(upper), c = Below ? load(lower) : none;
  for (int64_t j = 0; j < last; ++j) {
    upper += step;
    lower += step;
    const Vec<T> b = load(upper), d = Below ? load(lower) : none;
    spread<Odd, true>(w, even, odd, step, a, b, c, d);
    a = b;
    c = d;
    even += 2 * step;
    if (Odd) odd += 2 * step;
  }
  if (2 * last + 1 < band.width) {
    spread<Odd, true>(w, even, odd, step, a, none, c, none);
  } else {
    spread<Odd, false>(w, even, odd, step, a, none, c, none);
  }
}

template <class T>
[[gnu::noinline]] void spread_rows(const DepthwiseBand<T>& band, int64_t at, Ahead (&ahead)[2]) {
  Vec<T> w[9];
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) w[t] = load(band.w + t * band.channels + at);
  for (int64_t r = 0; r < band.row_count; ++r) {
    ahead[0].advance();
    ahead[1].advance();
    const DepthwiseRow<T>& row = band.rows[r];
    if (row.out[1] == nullptr) {
      spread_line<T, false, false>(band, row, at, w);
    } else if (row.in[1] == nullptr) {
      spread_line<T, true, false>(band, row, at, w);
    } else {
      spread_line<T, true, true>(band, row, at, w);
    }
  }
}

template <class T>
void run_forward(const DepthwiseBand<T>& band) {
  const int64_t calls = band.row_count * (band.channels / kLanes<T>);
  Ahead ahead[2] = {{band.ahead[0], calls}, {band.ahead[1], calls}};
  for (int64_t c = 0; c < band.channels; c += kLanes<T>) {
    band.stride == 1 ? forward<T, 1>(band, c, ahead) : forward<T, 2>(band, c, ahead);
  }
}
template <class T>
void run_spread(const DepthwiseBand<T>& band) {
  const int64_t calls = band.row_count * (band.channels / kLanes<T>);
  Ahead ahead[2] = {{band.ahead[0], calls}, {band.ahead[1], calls}};
  for (int64_t c = 0; c < band.channels; c += kLanes<T>) spread_rows(band, c, ahead);
}
template <class T>
void run_weight(const DepthwiseBand<T>& band) {
  const int64_t calls = band.row_count * (band.channels / kLanes<T>);
  Ahead ahead[2] = {{band.ahead[0], calls}, {band.ahead[1], calls}};
  for (int64_t c = 0; c < band.channels; c += kLanes<T>) {
    band.stride == 1 ? weight<T, 1>(band, c, ahead) : weight<T, 2>(band, c, ahead);
  }
}
template <class T>
void add(T* sum, const T* from, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes<T>) store(sum + i, load(sum + i) + load(from + i));
}

}  // namespace

void depthwise_rows_f32(const DepthwiseBand<float>& band) {
  run_forward(band);
}
void depthwise_rows_f64(const DepthwiseBand<double>& band) {
  run_forward(band);
}
void depthwise_spread_f32(const DepthwiseBand<float>& band) {
  run_spread(band);
}
void depthwise_spread_f64(const DepthwiseBand<double>& band) {
  run_spread(band);
}
void depthwise_weight_rows_f32(const DepthwiseBand<float>& band) {
  run_weight(band);
}
void depthwise_weight_rows_f64(const DepthwiseBand<double>& band) {
  run_weight(band);
}
void depthwise_add_f32(float* sum, const float* from, int64_t n) {
  add(sum, from, n);
}
void depthwise_add_f64(double* sum, const double* from, int64_t n) {
  add(sum, from, n);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
