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

template <class T, int V, int R>
[[gnu::noinline]] void tile(T* dw, const T* x, const T* dy, const ConvLines& lines, int64_t lanes,
                            bool accumulate) {
  constexpr int kL = kLanes<T>;
  const bool whole = lanes == kL;
  Vec<T> acc[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) acc[r][v] = accumulate ? load(dw + (r * V + v) * kL) : Vec<T>{};
  }
  for (int64_t i = 0; i < lines.outer; ++i) {
    for (int64_t j = 0; j < lines.inner; ++j) {
      const T* a = x + i * lines.x_outer + j * lines.x_inner;
      const T* b = dy + i * lines.y_outer + j * lines.y_inner;
#pragma GCC unroll 2
      for (int64_t n = 0; n < lines.length; ++n) {
        Vec<T> g[V];
        for (int v = 0; v + 1 < V; ++v) g[v] = load(b + v * kL);
        g[V - 1] = whole ? load(b + (V - 1) * kL) : load_first(b + (V - 1) * kL, lanes);
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

template <class T>
using TileFunction = void (*)(T*, const T*, const T*, const ConvLines&, int64_t, bool);

template <class T, int V, int R>
TileFunction<T> pick(int64_t rows) {
  if constexpr (R > 1) {
    if (rows < R) return pick<T, V, R - 1>(rows);
  }
  return &tile<T, V, R>;
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
  const TileFunction<T> run_small = pick<T, V, kRows<V>>(small);
  const TileFunction<T> run_large = large_tiles > 0 ? pick<T, V, kRows<V>>(small + 1) : run_small;
  for (int64_t e = run.first; e < run.first + run.count; ++e) {
    ahead[0].advance();
    ahead[1].advance();
    T* dw = job.dw + first_k * r.length + r.starts[e] * V * kLanes<T>;
    const T* x = job.x + r.offsets[e];
    for (int64_t n = 0; n < tiles; ++n) {
      const int64_t rows = n < large_tiles ? small + 1 : small;
      (n < large_tiles ? run_large : run_small)(dw, x, job.dy + first_k, lines, lanes, accumulate);
      dw += rows * V * kLanes<T>;
      x += rows;
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
  int64_t calls = chunks(all.outer, outer) * chunks(all.inner, inner) * chunks(all.length, length) *
                  (job.tile_hi - job.tile_lo);
  int64_t entries = 0;
  for (int64_t n = job.run_lo; n < job.run_hi; ++n) entries += job.reduction.runs[n].count;
  calls *= entries;
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
