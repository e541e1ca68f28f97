// Backward-weight micro-kernel, see Note [Convolution tiling].

#include "core/cpu/conv_tile.h"
#include "core/cpu/isa/conv_ahead.h"
#include "core/simd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

/// Most channels of a tile V vectors of outputs wide.
template <int V>
constexpr int kRows = kRegisters == 32 ? (V == 2 ? 12 : 16) : (V == 2 ? 6 : 12);
/// Pixels that pass by between two visits of an accumulator: x and dy of a tile then stay in L1.
constexpr int64_t kPixels = 256;

// Whole: every lane of the last vector exists.
template <class T, int V, bool Whole, int R>
[[gnu::noinline]] void tile(T* dw, const T* x, const T* dy, const ConvLines& lines, int64_t lanes,
                            bool accumulate, Ahead (&ahead)[2]) {
  constexpr int kL = kLanes<T>;
  Vec<T> acc[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) acc[r][v] = accumulate ? load(dw + (r * V + v) * kL) : Vec<T>{};
  }
  for (int64_t i = 0; i < lines.outer; ++i) {
    for (int64_t j = 0; j < lines.inner; ++j) {
      ahead[0].advance();
      ahead[1].advance();
      const T* a = x + i * lines.x_outer + j * lines.x_inner;
      const T* b = dy + i * lines.y_outer + j * lines.y_inner;
#pragma GCC unroll 2
      for (int64_t n = 0; n < lines.length; ++n) {
        Vec<T> g[V];
        for (int v = 0; v + 1 < V; ++v) g[v] = load(b + v * kL);
        g[V - 1] = Whole ? load(b + (V - 1) * kL) : load_first(b + (V - 1) * kL, lanes);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          const Vec<T> s = broadcast(a[r]);
          for (int v = 0; v < V; ++v) acc[r][v] += s * g[v];
        }
        a += lines.x_pixel;
        b += lines.y_pixel;
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) store(dw + (r * V + v) * kL, acc[r][v]);
  }
}

/// Channels of a tile of three entries.
constexpr int kRowChannels = 8;

/// acc[f][r] += x of channel r times the dy of tap f.
template <class T, int R>
struct RowTile {
  Vec<T> acc[3][R];

  template <bool F0, bool F1, bool F2>
  [[gnu::always_inline]] void add(const T* x, Vec<T> g0, Vec<T> g1, Vec<T> g2) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec<T> s = broadcast(x[r]);
      if (F0) acc[0][r] += s * g0;
      if (F1) acc[1][r] += s * g1;
      if (F2) acc[2][r] += s * g2;
    }
  }
};

// Three entries, each a pixel after the one before, of one vector of outputs: input column n meets the dy of
// columns n, n - 1 and n - 2, so a broadcast serves three FMAs. Lines have at least 2 pixels.
template <class T, bool Whole, int R>
[[gnu::noinline]] void tile_row(T* dw, const T* x, const T* dy, const ConvLines& lines, int64_t lanes,
                                bool accumulate, Ahead (&ahead)[2], int64_t next) {
  constexpr int kL = kLanes<T>;
  const auto gradient = [&](const T* from) { return Whole ? load(from) : load_first(from, lanes); };
  RowTile<T, R> t;
  for (int f = 0; f < 3; ++f) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) t.acc[f][r] = accumulate ? load(dw + f * next + r * kL) : Vec<T>{};
  }
  for (int64_t i = 0; i < lines.outer; ++i) {
    for (int64_t j = 0; j < lines.inner; ++j) {
      ahead[0].advance();
      ahead[1].advance();
      const T* a = x + i * lines.x_outer + j * lines.x_inner;
      const T* b = dy + i * lines.y_outer + j * lines.y_inner;
      Vec<T> g2 = gradient(b), g1 = gradient(b + lines.y_pixel), g0 = g1;
      t.template add<true, false, false>(a, g2, g2, g2);
      t.template add<true, true, false>(a + kConvBlock, g1, g2, g2);
      a += 2 * kConvBlock;
      b += 2 * lines.y_pixel;
      for (int64_t n = 2; n < lines.length; ++n) {
        g0 = gradient(b);
        t.template add<true, true, true>(a, g0, g1, g2);
        g2 = g1;
        g1 = g0;
        a += kConvBlock;
        b += lines.y_pixel;
      }
      t.template add<false, true, true>(a, g0, g1, g2);
      t.template add<false, false, true>(a + kConvBlock, g0, g1, g1);
    }
  }
  for (int f = 0; f < 3; ++f) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) store(dw + f * next + r * kL, t.acc[f][r]);
  }
}

template <class T>
using RowFunction = void (*)(T*, const T*, const T*, const ConvLines&, int64_t, bool, Ahead (&)[2], int64_t);

template <class T, bool Whole, int R>
RowFunction<T> pick_row(int64_t rows) {
  if constexpr (R > 1) {
    if (rows < R) return pick_row<T, Whole, R - 1>(rows);
  }
  return &tile_row<T, Whole, R>;
}

template <class T>
using TileFunction = void (*)(T*, const T*, const T*, const ConvLines&, int64_t, bool, Ahead (&)[2]);

template <class T, int V, bool Whole, int R>
TileFunction<T> pick(int64_t rows) {
  if constexpr (R > 1) {
    if (rows < R) return pick<T, V, Whole, R - 1>(rows);
  }
  return &tile<T, V, Whole, R>;
}
template <class T, int V>
TileFunction<T> pick(int64_t rows, int64_t lanes) {
  return lanes == kLanes<T> ? pick<T, V, true, kRows<V>>(rows) : pick<T, V, false, kRows<V>>(rows);
}

/// One run of entries against one tile of outputs, over `lines`.
template <class T, int V>
void run_entries(const ConvWeightJob<T>& job, const ConvRun& run, int64_t first_k, const ConvLines& lines,
                 bool accumulate, Ahead (&ahead)[2]) {
  const ConvReduction& r = job.reduction;
  const int64_t last = r.k - first_k - (V - 1) * kLanes<T>;
  const int64_t lanes = last < kLanes<T> ? last : kLanes<T>;
  const int64_t tiles = (run.channels + kRows<V> - 1) / kRows<V>;
  const int64_t small = run.channels / tiles, large_tiles = run.channels % tiles;
  const TileFunction<T> run_small = pick<T, V>(small, lanes);
  const TileFunction<T> run_large = large_tiles > 0 ? pick<T, V>(small + 1, lanes) : run_small;
  for (int64_t e = run.first; e < run.first + run.count; ++e) {
    T* dw = job.dw + first_k * r.length + r.starts[e] * V * kLanes<T>;
    const T* x = job.x + r.offsets[e];
    for (int64_t n = 0; n < tiles; ++n) {
      const int64_t rows = n < large_tiles ? small + 1 : small;
      (n < large_tiles ? run_large : run_small)(dw, x, job.dy + first_k, lines, lanes, accumulate, ahead);
      dw += rows * V * kLanes<T>;
      x += rows;
    }
  }
}

/// Whether tile_row can serve the run.
bool is_rows(const ConvReduction& r, const ConvRun& run, const ConvLines& lines) {
  if (kRegisters < 32 || run.count % 3 != 0 || lines.x_pixel != kConvBlock || lines.length < 2) return false;
  for (int64_t e = 0; e < run.count; ++e) {
    if (e % 3 != 0 && r.offsets[run.first + e] != r.offsets[run.first + e - 1] + kConvBlock) return false;
  }
  return true;
}

/// run_entries for tile_row.
template <class T>
void run_rows(const ConvWeightJob<T>& job, const ConvRun& run, int64_t first_k, const ConvLines& lines,
              bool accumulate, Ahead (&ahead)[2]) {
  const ConvReduction& r = job.reduction;
  const int64_t last = r.k - first_k;
  const int64_t lanes = last < kLanes<T> ? last : kLanes<T>;
  for (int64_t e = run.first; e < run.first + run.count; e += 3) {
    T* dw = job.dw + first_k * r.length + r.starts[e] * kLanes<T>;
    const T* x = job.x + r.offsets[e];
    for (int64_t c = 0; c < run.channels; c += kRowChannels) {
      const int64_t rows = run.channels - c < kRowChannels ? run.channels - c : kRowChannels;
      const RowFunction<T> function =
          lanes == kLanes<T> ? pick_row<T, true, kRowChannels>(rows) : pick_row<T, false, kRowChannels>(rows);
      function(dw + c * kLanes<T>, x + c, job.dy + first_k, lines, lanes, accumulate, ahead,
               run.channels * kLanes<T>);
    }
  }
}

template <class T>
void run_block(const ConvWeightJob<T>& job, const ConvLines& lines, bool accumulate, Ahead (&ahead)[2]) {
  constexpr int64_t kTile = 2 * kLanes<T>;
  for (int64_t n = job.run_lo; n < job.run_hi; ++n) {
    for (int64_t t = job.tile_lo; t < job.tile_hi; ++t) {
      if (job.reduction.k - t * kTile > kLanes<T>) {
        run_entries<T, 2>(job, job.reduction.runs[n], t * kTile, lines, accumulate, ahead);
      } else if (is_rows(job.reduction, job.reduction.runs[n], lines)) {
        run_rows(job, job.reduction.runs[n], t * kTile, lines, accumulate, ahead);
      } else {
        run_entries<T, 1>(job, job.reduction.runs[n], t * kTile, lines, accumulate, ahead);
      }
    }
  }
}

int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}
int64_t chunks(int64_t n, int64_t size) {
  return (n + size - 1) / size;
}
int64_t fit(int64_t pixels, int64_t most) {
  return pixels >= kPixels ? 1 : least(kPixels / pixels, most);
}

template <class T>
void run(const ConvWeightJob<T>& job) {
  const ConvLines& all = job.lines;
  if (all.outer == 0 || all.inner == 0 || all.length == 0) return;
  const int64_t length = least(all.length, kPixels);
  const int64_t inner = fit(length, all.inner);
  const int64_t outer = fit(length * inner, all.outer);
  // Passes over every line: two thirds of the entries at least, see run_rows.
  int64_t passes = job.tile_hi - job.tile_lo;
  int64_t entries = 0;
  for (int64_t n = job.run_lo; n < job.run_hi; ++n) entries += job.reduction.runs[n].count;
  passes *= entries > 2 ? entries * 2 / 3 : entries;
  const int64_t calls = all.outer * all.inner * chunks(all.length, length) * passes;
  Ahead ahead[2] = {{job.ahead[0], calls}, {job.ahead[1], calls}};
  bool accumulate = job.accumulate;
  for (int64_t i = 0; i < all.outer; i += outer) {
    for (int64_t j = 0; j < all.inner; j += inner) {
      for (int64_t n = 0; n < all.length; n += length) {
        ConvLines lines = all;
        lines.outer = least(outer, all.outer - i);
        lines.inner = least(inner, all.inner - j);
        lines.length = least(length, all.length - n);
        ConvWeightJob<T> part = job;
        part.x += i * all.x_outer + j * all.x_inner + n * all.x_pixel;
        part.dy += i * all.y_outer + j * all.y_inner + n * all.y_pixel;
        run_block(part, lines, accumulate, ahead);
        accumulate = true;
      }
    }
  }
}

}  // namespace

void conv_weight_f32(const ConvWeightJob<float>& job) {
  run(job);
}
void conv_weight_f64(const ConvWeightJob<double>& job) {
  run(job);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
