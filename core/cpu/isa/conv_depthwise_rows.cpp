// Depthwise 3x3 micro-kernels, see Note [Depthwise rows] in core/cpu/isa_depthwise.h.

#include "core/cpu/isa/conv_ahead.h"
#include "core/cpu/isa_depthwise.h"
#include "core/simd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

constexpr int kTile = kRegisters == 32 ? 6 : 4;  // pixels side by side
// Masks of taps: bit 0 the first row (or column), bit 2 the last.
constexpr int kAll = 7, kNoFirst = 6, kNoLast = 3, kMiddle = 2;

/// In a register: the compiler would rather load it again for each FMA.
template <class V>
[[gnu::always_inline]] inline void keep([[maybe_unused]] V& v) {
#if defined(__x86_64__)
  asm("" : "+v"(v));
#endif
}

/// An address made step by step: the compiler would rather keep every address of a tile, in memory, as
/// there are not registers enough.
template <class T>
[[gnu::always_inline]] inline void keep_address([[maybe_unused]] T*& p) {
#if defined(__x86_64__)
  asm("" : "+r"(p));
#endif
}

constexpr bool has(int mask, int tap) {
  return (mask >> tap & 1) != 0;
}

/// Calls visit(tap, tile's pixel, input) for each product of P neighbouring outputs, inputs one after the
/// other. x: the middle tap of the first output in each of three rows, `step` elements between pixels. The
/// first output lacks the columns of taps that `Columns` lacks first, the last output those it lacks last.
template <class T, int S, int Rows, int Columns, int P, class Visit>
[[gnu::always_inline]] inline void each_product(const T* const (&x)[3], int64_t step, const Visit& visit) {
  constexpr int kFirst = has(Columns, 0) ? -1 : 0, kLast = (P - 1) * S + (has(Columns, 2) ? 1 : 0);
  const T* at[3] = {x[0] + kFirst * step, x[1] + kFirst * step, x[2] + kFirst * step};
#pragma GCC unroll 16
  for (int q = kFirst; q <= kLast; ++q) {
#pragma GCC unroll 3
    for (int ky = 0; ky < 3; ++ky) {
      if (!has(Rows, ky)) continue;
      Vec<T> v = load(at[ky]);
      keep(v);
      if (q < kLast) {
        at[ky] += step;
        keep_address(at[ky]);
      }
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        const int kx = q - p * S + 1;
        if (kx >= 0 && kx < 3) visit(ky * 3 + kx, p, v);
      }
    }
  }
}

/// One vector of channels of the forward.
template <class T, int S>
struct Forward {
  Vec<T> w[9], start;

  [[gnu::always_inline]] Forward(const DepthwiseBand<T>& band, int64_t c) {
    const T* from = band.w + c;
#pragma GCC unroll 9
    for (int t = 0; t < 9; ++t, from += band.channels) {
      keep_address(from);
      w[t] = load(from);
      keep(w[t]);
    }
    start = band.bias == nullptr ? Vec<T>{} : load(band.bias + c);
  }

  /// P outputs; x: the middle taps of the first; `at`: where it stands in a row of outputs.
  template <int Rows, int Columns, int P>
  [[gnu::always_inline]] void tile(const DepthwiseRow<T>& row, const T* const (&x)[3], int64_t step,
                                   int64_t at) {
    Vec<T> acc[P];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) acc[p] = start;
    each_product<T, S, Rows, Columns, P>(x, step, [&](int t, int p, Vec<T> v) { acc[p] += v * w[t]; });
    T* y = row.out[0] + at;
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p, y += step) {
      keep_address(y);
      store(y, acc[p]);
    }
  }

  template <int Rows, int Columns>
  [[gnu::always_inline]] void finish(const DepthwiseBand<T>&, int64_t) const {}
};

/// One vector of channels of the weight gradient.
template <class T, int S>
struct Weight {
  Vec<T> acc[9];

  [[gnu::always_inline]] Weight(const DepthwiseBand<T>&, int64_t) {
#pragma GCC unroll 9
    for (int t = 0; t < 9; ++t) acc[t] = Vec<T>{};
  }

  template <int Rows, int Columns, int P>
  [[gnu::always_inline]] void tile(const DepthwiseRow<T>& row, const T* const (&x)[3], int64_t step,
                                   int64_t at) {
    Vec<T> g[P];
    const T* dy = row.dy + at;
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p, dy += step) {
      keep_address(dy);
      g[p] = load(dy);
      keep(g[p]);
    }
    each_product<T, S, Rows, Columns, P>(x, step, [&](int t, int p, Vec<T> v) { acc[t] += v * g[p]; });
  }

  /// Rows, Columns: taps that may have products.
  template <int Rows, int Columns>
  [[gnu::always_inline]] void finish(const DepthwiseBand<T>& band, int64_t c) const {
    T* to = band.dw + c;
#pragma GCC unroll 9
    for (int t = 0; t < 9; ++t, to += band.channels) {
      keep_address(to);
      if (has(Rows, t / 3) && has(Columns, t % 3)) store(to, load(to) + acc[t]);
    }
  }
};

/// The middle taps of a row's first output, channel c; rows outside the image are not read.
template <class T, int Rows>
[[gnu::always_inline]] inline void first_taps(const DepthwiseRow<T>& row, int64_t c, const T* (&x)[3]) {
  for (int ky = 0; ky < 3; ++ky) x[ky] = (has(Rows, ky) ? row.in[ky] : row.in[1]) + c;
}

/// A tile of a row, all channels; its outputs' number.
template <class T, int S, template <class, int> class Tile, int Rows, int Columns, int P>
[[gnu::always_inline]] inline int64_t run_tile(const DepthwiseBand<T>& band, const DepthwiseRow<T>& row,
                                               int64_t j) {
  const int64_t step = band.channels;
  const T* first[3];
  first_taps<T, Rows>(row, j * S * step, first);
  for (int64_t c = 0; c < step; c += kLanes<T>) {
    const T* const x[3] = {first[0] + c, first[1] + c, first[2] + c};
    Tile<T, S> tile(band, c);
    tile.template tile<Rows, Columns, P>(row, x, step, j * step + c);
    tile.template finish<Rows, P == 1 ? Columns : kAll>(band, c);
  }
  return P;
}

/// A row of tiles; the rows of taps `Rows` exist.
template <class T, int S, template <class, int> class Tile, int Rows>
[[gnu::noinline]] void along(const DepthwiseBand<T>& band, const DepthwiseRow<T>& row) {
  const int64_t last = band.out_width - 1;
  const bool cut = last * S + 1 == band.width;  // the last column has no third tap
  const int64_t tiles = 2 + (last - 1) / kTile;
  Ahead ahead[2] = {{band.ahead[0], tiles}, {band.ahead[1], tiles}};
  const auto advance = [&] {
    ahead[0].advance();
    ahead[1].advance();
  };
  advance();
  const int64_t whole = cut ? last : last + 1;
  int64_t j = run_tile<T, S, Tile, Rows, kNoFirst, 1>(band, row, 0);
  while (j + kTile <= whole) {
    advance();
    j += run_tile<T, S, Tile, Rows, kAll, kTile>(band, row, j);
  }
  advance();
  while (j + 2 <= whole) j += run_tile<T, S, Tile, Rows, kAll, 2>(band, row, j);
  while (j < whole) j += run_tile<T, S, Tile, Rows, kAll, 1>(band, row, j);
  if (cut) run_tile<T, S, Tile, Rows, kNoLast, 1>(band, row, j);
}

/// Calls fn.template operator()<Rows>() with the mask of the row's inputs that exist.
template <class T, class Fn>
[[gnu::always_inline]] inline void with_rows(const DepthwiseRow<T>& row, const Fn& fn) {
  const bool top = row.in[0] != nullptr, bottom = row.in[2] != nullptr;
  if (top && bottom) {
    fn.template operator()<kAll>();
  } else if (bottom) {
    fn.template operator()<kNoFirst>();
  } else if (top) {
    fn.template operator()<kNoLast>();
  } else {
    fn.template operator()<kMiddle>();
  }
}

/// A row that is one tile of P outputs.
template <class T, int S, template <class, int> class Tile, int Columns, int P>
void narrow_row(const DepthwiseBand<T>& band) {
  Ahead(band.ahead[0], 1).advance();
  Ahead(band.ahead[1], 1).advance();
  const DepthwiseRow<T>& row = band.rows[0];
  with_rows(row, [&]<int Rows>() { run_tile<T, S, Tile, Rows, Columns, P>(band, row, 0); });
}

/// Rows of P outputs, every row of one vector of channels before the next: the weight gradient's sums stay in
/// registers.
template <class T, int S, template <class, int> class Tile, int Columns, int P>
[[gnu::noinline]] void narrow_channels(const DepthwiseBand<T>& band) {
  const int64_t step = band.channels, calls = step / kLanes<T>;
  Ahead ahead[2] = {{band.ahead[0], calls}, {band.ahead[1], calls}};
  for (int64_t c = 0; c < step; c += kLanes<T>) {
    ahead[0].advance();
    ahead[1].advance();
    Tile<T, S> tile(band, c);
    for (int64_t r = 0; r < band.row_count; ++r) {
      const DepthwiseRow<T>& row = band.rows[r];
      with_rows(
          row, [&]<int Rows>() __attribute__((always_inline)) {
            const T* x[3];
            first_taps<T, Rows>(row, c, x);
            tile.template tile<Rows, Columns, P>(row, x, step, c);
          });
    }
    tile.template finish<kAll, kAll>(band, c);
  }
}

template <class T, int S, template <class, int> class Tile, int Columns, int P>
void narrow(const DepthwiseBand<T>& band) {
  band.row_count > 1 ? narrow_channels<T, S, Tile, Columns, P>(band)
                     : narrow_row<T, S, Tile, Columns, P>(band);
}

template <class T, int S, template <class, int> class Tile>
void run_band(const DepthwiseBand<T>& band) {
  const bool cut = (band.out_width - 1) * S + 1 == band.width;
  switch (band.out_width) {
    case 1:
      return cut ? narrow<T, S, Tile, kMiddle, 1>(band) : narrow<T, S, Tile, kNoFirst, 1>(band);
    case 2:
      return cut ? narrow<T, S, Tile, kMiddle, 2>(band) : narrow<T, S, Tile, kNoFirst, 2>(band);
    case 4:
      return cut ? narrow<T, S, Tile, kMiddle, 4>(band) : narrow<T, S, Tile, kNoFirst, 4>(band);
    default:
      break;
  }
  const DepthwiseRow<T>& row = band.rows[0];
  with_rows(row, [&]<int Rows>() { along<T, S, Tile, Rows>(band, row); });
}

/// What of the gradient of stride 2 exists: row 2i + 1, dy of i + 1; of the last pixel, column 2j + 1 and dy
/// of j + 1.
template <bool Odd, bool Below, bool Right, bool Beyond>
struct Spread {
  /// P pixels of dy from column j on, all channels.
  template <int P, class T>
  [[gnu::always_inline]] static void run(const DepthwiseBand<T>& band, const DepthwiseRow<T>& row,
                                         int64_t j) {
    const int64_t step = band.channels;
    const Vec<T> none{};
    for (int64_t at = 0; at < step; at += kLanes<T>) {
      Vec<T> w[9];
#pragma GCC unroll 9
      for (int t = 0; t < 9; ++t) {
        w[t] = load(band.w + t * step + at);
        keep(w[t]);
      }
      const T* upper = row.in[0] + j * step + at;
      const T* lower = Below ? row.in[1] + j * step + at : nullptr;
      T* even = row.out[0] + 2 * j * step + at;
      T* odd = Odd ? row.out[1] + 2 * j * step + at : nullptr;
      Vec<T> a = load(upper), c = Below ? load(lower) : none;
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        const bool next = p < P - 1 || Beyond, right = p < P - 1 || Right;
        const Vec<T> b = next ? load(upper + (p + 1) * step) : none;
        const Vec<T> d = next && Below ? load(lower + (p + 1) * step) : none;
        store(even + 2 * p * step, a * w[4]);
        if (right) store(even + (2 * p + 1) * step, a * w[5] + b * w[3]);
        if (Odd) store(odd + 2 * p * step, a * w[7] + c * w[1]);
        if (Odd && right) store(odd + (2 * p + 1) * step, a * w[8] + b * w[6] + c * w[2] + d * w[0]);
        a = b;
        c = d;
      }
    }
  }
};

/// A pair of rows of dx.
template <class T, bool Odd, bool Below>
[[gnu::noinline]] void spread_line(const DepthwiseBand<T>& band, const DepthwiseRow<T>& row) {
  const int64_t last = band.out_width - 1;
  const int64_t tiles = last / kTile + 1;
  Ahead ahead[2] = {{band.ahead[0], tiles}, {band.ahead[1], tiles}};
  const auto advance = [&] {
    ahead[0].advance();
    ahead[1].advance();
  };
  const bool right = 2 * last + 1 < band.width;
  int64_t j = 0;
  for (; j + kTile <= last; j += kTile) {
    advance();
    Spread<Odd, Below, true, true>::template run<kTile>(band, row, j);
  }
  advance();
  if (right && last - j == 3) return Spread<Odd, Below, true, false>::template run<4>(band, row, j);
  if (right && last - j == 1) return Spread<Odd, Below, true, false>::template run<2>(band, row, j);
  for (; j < last; ++j) Spread<Odd, Below, true, true>::template run<1>(band, row, j);
  right ? Spread<Odd, Below, true, false>::template run<1>(band, row, j)
        : Spread<Odd, Below, false, false>::template run<1>(band, row, j);
}

template <class T>
void run_forward(const DepthwiseBand<T>& band) {
  band.stride == 1 ? run_band<T, 1, Forward>(band) : run_band<T, 2, Forward>(band);
}
template <class T>
void run_weight(const DepthwiseBand<T>& band) {
  band.stride == 1 ? run_band<T, 1, Weight>(band) : run_band<T, 2, Weight>(band);
}
template <class T>
void run_spread(const DepthwiseBand<T>& band) {
  for (int64_t r = 0; r < band.row_count; ++r) {
    const DepthwiseRow<T>& row = band.rows[r];
    if (row.out[1] == nullptr) {
      spread_line<T, false, false>(band, row);
    } else if (row.in[1] == nullptr) {
      spread_line<T, true, false>(band, row);
    } else {
      spread_line<T, true, true>(band, row);
    }
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
