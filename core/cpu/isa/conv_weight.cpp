// Backward-weight micro-kernels, see Note [Convolution tiling].

#include "core/cpu/conv_tile.h"
#include "core/cpu/isa/conv_ahead.h"
#include "core/cpu/isa/conv_lines.h"
#include "core/simd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

/// Most channels of a tile V vectors of outputs wide.
template <int V>
constexpr int kRows = kRegisters == 32 ? (V == 2 ? 12 : 16) : (V == 2 ? 6 : 12);
/// The same of a tile of three entries.
constexpr int kRowChannels = 8;
/// Channels of the image that the first layer of most nets reads.
constexpr int64_t kRgb = 3;
/// Pixels that pass by between two visits of an accumulator, V = 2: dy of a tile (16 KiB) and the x of a
/// block of channels then stay in L1.
constexpr int64_t kPixels = 128;
/// Bytes between pixels of dy that are read in place.
constexpr int64_t kClose = 256;
/// Pixels between two prefetches.
constexpr int64_t kStretch = 32;

/// A block of pixels: where they stand, and where their sums go. dy holds whole vectors of one tile of
/// outputs, `dy_next` apart.
template <class T>
struct Block {
  const T* x;
  const T* dy;
  int64_t dy_next;
  T* dw;  // of the tile of outputs
  ConvLines lines;
  bool accumulate;
};

template <class T, int V, int R>
[[gnu::noinline]] void tile(const Block<T>& block, T* dw, const T* x, Ahead& ahead) {
  constexpr int kL = kLanes<T>;
  const ConvLines& lines = block.lines;
  Vec<T> acc[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) acc[r][v] = block.accumulate ? load(dw + (r * V + v) * kL) : Vec<T>{};
  }
  for (int64_t i = 0; i < lines.outer; ++i) {
    for (int64_t j = 0; j < lines.inner; ++j) {
      ahead.advance();
      const T* a = x + i * lines.x_outer + j * lines.x_inner;
      const T* b = block.dy + i * lines.y_outer + j * lines.y_inner;
#pragma GCC unroll 2
      for (int64_t n = 0; n < lines.length; ++n) {
        if (n % kStretch == kStretch - 1) ahead.advance();
        Vec<T> g[V];
        for (int v = 0; v < V; ++v) g[v] = load(b + v * block.dy_next);
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

// Three taps, each a pixel after the one before, of one vector of outputs: input column n meets the dy of
// columns n, n - 1 and n - 2, so a broadcast serves three FMAs. Lines have at least 2 pixels, S apart;
// `next`: from a tap's sums to the next one's.
template <class T, int R, int64_t S>
[[gnu::noinline]] void tile_row(const Block<T>& block, T* dw, const T* x, int64_t next, Ahead& ahead) {
  constexpr int kL = kLanes<T>;
  const ConvLines& lines = block.lines;
  RowTile<T, R> t;
#pragma GCC unroll 3
  for (int f = 0; f < 3; ++f) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) t.acc[f][r] = block.accumulate ? load(dw + f * next + r * kL) : Vec<T>{};
  }
  for (int64_t i = 0; i < lines.outer; ++i) {
    for (int64_t j = 0; j < lines.inner; ++j) {
      ahead.advance();
      const T* a = x + i * lines.x_outer + j * lines.x_inner;
      const T* b = block.dy + i * lines.y_outer + j * lines.y_inner;
      Vec<T> g2 = load(b), g1 = load(b + lines.y_pixel), g0 = g1;
      t.template add<true, false, false>(a, g2, g2, g2);
      t.template add<true, true, false>(a + S, g1, g2, g2);
      a += 2 * S;
      b += 2 * lines.y_pixel;
      for (int64_t n = 2; n < lines.length; ++n) {
        g0 = load(b);
        t.template add<true, true, true>(a, g0, g1, g2);
        g2 = g1;
        g1 = g0;
        a += S;
        b += lines.y_pixel;
      }
      t.template add<false, true, true>(a, g0, g1, g2);
      t.template add<false, false, true>(a + S, g0, g1, g1);
    }
  }
#pragma GCC unroll 3
  for (int f = 0; f < 3; ++f) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) store(dw + f * next + r * kL, t.acc[f][r]);
  }
}

template <class T>
using TileFunction = void (*)(const Block<T>&, T*, const T*, Ahead&);
template <class T>
using RowFunction = void (*)(const Block<T>&, T*, const T*, int64_t, Ahead&);

template <class T, int V, int R>
TileFunction<T> pick(int64_t rows) {
  if constexpr (R > 1) {
    if (rows < R) return pick<T, V, R - 1>(rows);
  }
  return &tile<T, V, R>;
}
template <class T, int R>
RowFunction<T> pick_row(int64_t rows) {
  if constexpr (R > 1) {
    if (rows < R) return pick_row<T, R - 1>(rows);
  }
  return &tile_row<T, R, kConvBlock>;
}

int64_t clamp(int64_t value, int64_t lo, int64_t hi) {
  return value < lo ? lo : (value > hi ? hi : value);
}
/// The lines of a block for which entry e is inside the image: the block itself, or `part`.
template <class T>
const Block<T>& inside(const Block<T>& block, const ConvReduction& r, int64_t e, Block<T>& part) {
  if (r.inside == nullptr) return block;
  part = block;
  const ConvInside& in = r.inside[e];
  ConvLines& l = part.lines;
  int64_t outer_lo = 0, outer_hi = l.outer;
  int64_t inner_lo = clamp(in.row_lo - l.row, 0, l.inner), inner_hi = clamp(in.row_hi - l.row, 0, l.inner);
  if (l.by_column) {
    outer_lo = clamp(in.row_lo - l.row, 0, l.outer);
    outer_hi = clamp(in.row_hi - l.row, 0, l.outer);
    inner_lo = clamp(in.column_lo - l.column, 0, l.inner);
    inner_hi = clamp(in.column_hi - l.column, 0, l.inner);
  }
  if (l.unpadded) {
    const int64_t lo = clamp(in.column_lo - l.column, 0, l.length);
    l.length = clamp(in.column_hi - l.column, lo, l.length) - lo;
    part.x += lo * l.x_pixel;
    part.dy += lo * l.y_pixel;
  }
  part.x += outer_lo * l.x_outer + inner_lo * l.x_inner;
  part.dy += outer_lo * l.y_outer + inner_lo * l.y_inner;
  l.outer = outer_hi - outer_lo;
  l.inner = inner_hi - inner_lo;
  return part;
}

/// One run of entries.
template <class T, int V>
void run_entries(const Block<T>& block, const ConvReduction& r, const ConvRun& run, Ahead& ahead) {
  const int64_t tiles = (run.channels + kRows<V> - 1) / kRows<V>;
  const int64_t small = run.channels / tiles, large_tiles = run.channels % tiles;
  const TileFunction<T> run_small = pick<T, V, kRows<V>>(small);
  const TileFunction<T> run_large = large_tiles > 0 ? pick<T, V, kRows<V>>(small + 1) : run_small;
  Block<T> cut = block;
  for (int64_t e = run.first; e < run.first + run.count; ++e) {
    const Block<T>& part = inside(block, r, e, cut);
    T* dw = part.dw + r.starts[e] * V * kLanes<T>;
    const T* x = part.x + r.offsets[e];
    for (int64_t n = 0; n < tiles; ++n) {
      const int64_t rows = n < large_tiles ? small + 1 : small;
      (n < large_tiles ? run_large : run_small)(part, dw, x, ahead);
      dw += rows * V * kLanes<T>;
      x += rows;
    }
  }
}

/// Which tile_row can serve a run: taps that are entries of a block, or those that make up an entry of an
/// image of 3 channels.
enum class Rows : unsigned char { No, Blocked, Rgb };
Rows rows_of(const ConvReduction& r, const ConvRun& run, const ConvLines& lines) {
  if (kRegisters < 32 || lines.length < 2) return Rows::No;
  if (lines.x_pixel == kRgb && run.channels == 3 * kRgb) return Rows::Rgb;
  if (run.count % 3 != 0 || lines.x_pixel != kConvBlock) return Rows::No;
  for (int64_t e = 0; e < run.count; ++e) {
    if (e % 3 != 0 && r.offsets[run.first + e] != r.offsets[run.first + e - 1] + kConvBlock) return Rows::No;
  }
  return Rows::Blocked;
}

/// run_entries for tile_row.
template <class T>
void run_rows(const Block<T>& block, const ConvReduction& r, const ConvRun& run, Ahead& ahead) {
  Block<T> cut = block;
  for (int64_t e = run.first; e < run.first + run.count; e += 3) {
    const Block<T>& part = inside(block, r, e, cut);
    T* dw = part.dw + r.starts[e] * kLanes<T>;
    const T* x = part.x + r.offsets[e];
    for (int64_t c = 0; c < run.channels; c += kRowChannels) {
      const int64_t rows = run.channels - c < kRowChannels ? run.channels - c : kRowChannels;
      pick_row<T, kRowChannels>(rows)(part, dw + c * kLanes<T>, x + c, run.channels * kLanes<T>, ahead);
    }
  }
}

template <class T>
void run_rgb_rows(const Block<T>& block, const ConvReduction& r, const ConvRun& run, Ahead& ahead) {
  for (int64_t e = run.first; e < run.first + run.count; ++e) {
    tile_row<T, kRgb, kRgb>(block, block.dw + r.starts[e] * kLanes<T>, block.x + r.offsets[e],
                            kRgb * kLanes<T>, ahead);
  }
}

/// Gathers the block's dy, `left` outputs of it, side by side: zeros past the last output, and no lines that
/// compete for the same set of L1, as those of 512 channels would.
template <class T, int V>
void gather(Block<T>& block, T* packed, int64_t left) {
  constexpr int kWidth = V * kLanes<T>;
  ConvLines& lines = block.lines;
  T* to = packed;
  for (int64_t i = 0; i < lines.outer; ++i) {
    for (int64_t j = 0; j < lines.inner; ++j) {
      const T* from = block.dy + i * lines.y_outer + j * lines.y_inner;
      for (int64_t n = 0; n < lines.length; ++n, to += kWidth, from += lines.y_pixel) {
        for (int v = 0; v < V; ++v) {
          const int64_t lanes = left - v * kLanes<T>;
          const T* vector = from + v * block.dy_next;
          store(to + v * kLanes<T>, lanes >= kLanes<T> ? load(vector) : load_first(vector, lanes));
        }
      }
    }
  }
  block.dy_next = kLanes<T>;
  lines.y_pixel = kWidth;
  lines.y_inner = lines.length * kWidth;
  lines.y_outer = lines.inner * lines.y_inner;
  block.dy = packed;
}

/// Where channel k of a pixel of dy stands.
int64_t channel_at(int64_t k, int64_t dy_block) {
  return dy_block == 0 ? k : k / kConvBlock * dy_block + k % kConvBlock;
}

/// Every run against the tile of outputs that begins at first_k.
template <class T, int V>
void run_tile(const ConvWeightJob<T>& job, Block<T> block, int64_t first_k, Ahead& ahead) {
  const ConvReduction& r = job.reduction;
  alignas(kVectorBytes) T packed[kPixels * 2 * kLanes<T>];
  block.dw = job.dw + first_k * r.length;
  const int64_t here = channel_at(first_k, job.dy_block);
  block.dy += here;
  block.dy_next = channel_at(first_k + kLanes<T>, job.dy_block) - here;
  const int64_t left = r.k - first_k;
  // A group's outputs may be fewer than a pixel of dy has, and whole vectors would then reach past dy's end.
  const bool close = job.dy_block > 0 || block.lines.y_pixel * static_cast<int64_t>(sizeof(T)) <= kClose;
  if (!close || left < V * kLanes<T>) gather<T, V>(block, packed, left);
  for (int64_t n = job.run_lo; n < job.run_hi; ++n) {
    const Rows rows = V == 1 ? rows_of(r, r.runs[n], block.lines) : Rows::No;
    if (rows == Rows::Blocked) {
      run_rows(block, r, r.runs[n], ahead);
    } else if (rows == Rows::Rgb) {
      run_rgb_rows(block, r, r.runs[n], ahead);
    } else {
      run_entries<T, V>(block, r, r.runs[n], ahead);
    }
  }
}

template <class T>
void run_block(const ConvWeightJob<T>& job, const Block<T>& block, Ahead& ahead) {
  constexpr int64_t kTile = 2 * kLanes<T>;
  for (int64_t t = job.tile_lo; t < job.tile_hi; ++t) {
    if (job.reduction.k - t * kTile > kLanes<T>) {
      run_tile<T, 2>(job, block, t * kTile, ahead);
    } else {
      run_tile<T, 1>(job, block, t * kTile, ahead);
    }
  }
}

int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}
/// How many pieces of `pixels` make a block of `size`, of `most` there are.
int64_t fit(int64_t pixels, int64_t size, int64_t most) {
  return pixels >= size ? 1 : least(size / pixels, most);
}

template <class T>
void run(const ConvWeightJob<T>& job) {
  const ConvLines all = merged(job.lines, job.reduction.inside);
  if (all.outer == 0 || all.inner == 0 || all.length == 0) return;
  const int64_t size = job.reduction.k > kLanes<T> ? kPixels : 2 * kPixels;  // dy of V = 1 is half as much
  const int64_t length = least(all.length, size);
  const int64_t inner = fit(length, size, all.inner);
  const int64_t outer = fit(length * inner, size, all.outer);
  // Passes over every line: two thirds of the entries at least, see run_rows.
  int64_t entries = 0;
  for (int64_t n = job.run_lo; n < job.run_hi; ++n) entries += job.reduction.runs[n].count;
  const int64_t passes = (job.tile_hi - job.tile_lo) * (entries > 2 ? entries * 2 / 3 : entries);
  const int64_t calls = all.outer * all.inner * ((all.length + kStretch - 1) / kStretch) * passes;
  Ahead ahead(job.ahead, calls);
  Block<T> block{nullptr, nullptr, 0, nullptr, all, job.accumulate};
  for (int64_t i = 0; i < all.outer; i += outer) {
    for (int64_t j = 0; j < all.inner; j += inner) {
      for (int64_t n = 0; n < all.length; n += length) {
        block.x = job.x + i * all.x_outer + j * all.x_inner + n * all.x_pixel;
        block.dy = job.dy + i * all.y_outer + j * all.y_inner + n * all.y_pixel;
        block.lines.row = all.row + (all.by_column ? i : j);
        block.lines.column = all.column + (all.by_column ? j : n);
        block.lines.outer = least(outer, all.outer - i);
        block.lines.inner = least(inner, all.inner - j);
        block.lines.length = least(length, all.length - n);
        run_block(job, block, ahead);
        block.accumulate = true;
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
