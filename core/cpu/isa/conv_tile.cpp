// Forward micro-kernel, see Note [Convolution tiling].

#include "core/cpu/conv_tile.h"

#include "core/cpu/isa/conv_ahead.h"
#include "core/cpu/isa/conv_lines.h"
#include "core/simd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

/// Most pixels of a tile V vectors wide.
template <int V>
constexpr int kPixels = kRegisters == 32 ? (V == 2 ? 14 : 16) : (V == 2 ? 6 : 12);

/// The same when a pixel's step is not a constant; measured.
template <int V>
constexpr int kStridedPixels = kRegisters == 32 ? (V == 2 ? 8 : 16) : kPixels<V>;

template <class T>
struct Tile {
  const T* w;              // packed weights of the run
  const int64_t* offsets;  // of `count` entries of the run
  const int64_t* weights;  // of the same, from w
  int64_t count, channels;
  int64_t x_pixel, y_pixel;
  const T* bias;  // of the tile, whole vectors; or null
  int64_t lanes;  // of the last vector that exist in y
  bool first;     // start from bias, not from y
};

// All loops are unrolled: an array that a loop walks over would live in memory. So would the sums where a
// part of a vector can be loaded or stored: tiles that reach past y's last channel go by run_part.
template <class T, int V, int P>
[[gnu::always_inline]] inline void begin(const Tile<T>& t, const T* y, Vec<T> (&acc)[P][V]) {
  constexpr int kL = kLanes<T>;
  if (!t.first) {
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) acc[p][v] = load(y + p * t.y_pixel + v * kL);
    }
    return;
  }
#pragma GCC unroll 2
  for (int v = 0; v < V; ++v) {
    const Vec<T> start = t.bias != nullptr ? load(t.bias + v * kL) : Vec<T>{};
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) acc[p][v] = start;
  }
}

template <class T, int V, int P>
[[gnu::always_inline]] inline void finish(const Tile<T>& t, T* y, const Vec<T> (&acc)[P][V]) {
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) store(y + p * t.y_pixel + v * kLanes<T>, acc[p][v]);
  }
}

// Pixels are S apart: a block of scratch, or the channels of a narrow tensor that is read in place.
template <class T, int V, int P, int64_t S>
[[gnu::noinline]] void tile(const Tile<T>& t, T* y, const T* x) {
  constexpr int kL = kLanes<T>;
  Vec<T> acc[P][V];
  begin<T, V, P>(t, y, acc);
  for (int64_t e = 0; e < t.count; ++e) {
    const T* from = x + t.offsets[e];
    const T* w = t.w + t.weights[e];
#pragma GCC unroll 4
    for (int64_t c = 0; c < t.channels; ++c) {
      Vec<T> b[V];
      for (int v = 0; v < V; ++v) b[v] = load(w + v * kL);
      w += V * kL;
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) {
        const Vec<T> a = broadcast(from[p * S + c]);
        for (int v = 0; v < V; ++v) acc[p][v] += a * b[v];
      }
    }
  }
  finish<T, V, P>(t, y, acc);
}

/// A register that the compiler knows nothing of: it would rather keep the address of every pixel, in
/// memory, as there are not registers enough.
template <class T>
[[gnu::always_inline]] inline void keep([[maybe_unused]] T& value) {
#if defined(__x86_64__)
  asm("" : "+r"(value));
#endif
}

// The same where a pixel's step is known at run time only. Every fourth pixel has an address, the others
// between are reached by one, two and three steps from it.
template <class T, int V, int P>
[[gnu::noinline]] void tile_strided(const Tile<T>& t, T* y, const T* x) {
  constexpr int kL = kLanes<T>, kBases = (P + 3) / 4;
  Vec<T> acc[P][V];
  begin<T, V, P>(t, y, acc);
  int64_t step = t.x_pixel, step3 = 3 * t.x_pixel;
  for (int64_t e = 0; e < t.count; ++e) {
    const T* w = t.w + t.weights[e];
    const T* base[kBases];
    for (int i = 0; i < kBases; ++i) base[i] = x + t.offsets[e] + 4 * i * t.x_pixel;
#pragma GCC unroll 4
    for (int64_t c = 0; c < t.channels; ++c) {
      Vec<T> b[V];
      for (int v = 0; v < V; ++v) b[v] = load(w + v * kL);
      w += V * kL;
      keep(step);
      keep(step3);
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) {
        const T* const from = base[p / 4];
        const Vec<T> a = broadcast(p % 4 == 3 ? from[step3] : from[p % 4 * step]);
        for (int v = 0; v < V; ++v) acc[p][v] += a * b[v];
      }
#pragma GCC unroll 4
      for (int i = 0; i < kBases; ++i) {
        ++base[i];
        keep(base[i]);
      }
    }
  }
  finish<T, V, P>(t, y, acc);
}

/// Channels of the image that the first layer of most nets reads.
constexpr int64_t kRgb = 3;

// Taps in threes, each a pixel after the one before (a row of a 3x3 kernel): a broadcast then serves three
// FMAs. With one vector of outputs the loads, one per FMA, are the limit otherwise: 230 GFLOP/s against 210.
// Pixels are S apart. The taps of a block are three entries; those of an image of S < 16 channels one.
template <class T, int P, int64_t S>
[[gnu::noinline]] void tile_row(const Tile<T>& t, T* y, const T* x) {
  constexpr int kL = kLanes<T>;
  constexpr int64_t kEntries = S == kConvBlock ? 3 : 1;
  Vec<T> acc[P][1];
  begin<T, 1, P>(t, y, acc);
  const int64_t channels = S == kConvBlock ? t.channels : S, next = channels * kL;
  for (int64_t e = 0; e < t.count; e += kEntries) {
    const T* from = x + t.offsets[e];
    const T* w = t.w + t.weights[e];
#pragma GCC unroll 2
    for (int64_t c = 0; c < channels; ++c, w += kL) {
      const Vec<T> b0 = load(w), b1 = load(w + next), b2 = load(w + 2 * next);
#pragma GCC unroll 18
      for (int p = 0; p < P + 2; ++p) {
        const Vec<T> a = broadcast(from[p * S + c]);
        if (p < P) acc[p][0] += a * b0;
        if (p >= 1 && p <= P) acc[p - 1][0] += a * b1;
        if (p >= 2) acc[p - 2][0] += a * b2;
      }
    }
  }
  finish<T, 1, P>(t, y, acc);
}

template <class T>
using TileFunction = void (*)(const Tile<T>&, T*, const T*);

/// How a kernel is specialised.
enum class Kind : unsigned char {
  Rows,  // tile_row
  RgbRows,
  Blocked,  // tile, a step of 16, 32, 64 channels
  Step32,
  Step64,
  Strided,  // tile_strided
};

template <class T, Kind K, int V, int P>
constexpr TileFunction<T> function() {
  if constexpr (K == Kind::Rows) return &tile_row<T, P, kConvBlock>;
  if constexpr (K == Kind::RgbRows) return &tile_row<T, P, kRgb>;
  if constexpr (K == Kind::Strided) return &tile_strided<T, V, P>;
  constexpr int64_t kStep = K == Kind::Step64 ? 64 : (K == Kind::Step32 ? 32 : kConvBlock);
  return &tile<T, V, P, kStep>;
}

/// The kernel for `pixels` <= P.
template <class T, Kind K, int V, int P>
TileFunction<T> pick(int64_t pixels) {
  if constexpr (P > 1) {
    if (pixels < P) return pick<T, K, V, P - 1>(pixels);
  }
  return function<T, K, V, P>();
}

template <Kind K, int V>
constexpr int kMost = K == Kind::Strided ? kStridedPixels<V> : kPixels<V>;

template <Kind K, int V>
int64_t tile_count(int64_t length) {
  return (length + kMost<K, V> - 1) / kMost<K, V>;
}

/// The entries of a run that a line needs: all of them, or those that `inside` allows.
class Entries {
 public:
  /// Weights are `width` elements a channel.
  Entries(const ConvReduction& r, const ConvRun& run, int64_t width)
      : all_(r.offsets + run.first),
        inside_(r.inside == nullptr ? nullptr : r.inside + run.first),
        run_(run) {
    for (int64_t e = 0; e < run.count; ++e) all_weights_[e] = e * run.channels * width;
    for (int64_t e = 0; inside_ != nullptr && e < run.count; ++e) {
      const ConvInside& in = inside_[e];
      if (e == 0) all_inside_ = in;
      if (in.row_lo > all_inside_.row_lo) all_inside_.row_lo = in.row_lo;
      if (in.row_hi < all_inside_.row_hi) all_inside_.row_hi = in.row_hi;
      if (in.column_lo > all_inside_.column_lo) all_inside_.column_lo = in.column_lo;
      if (in.column_hi < all_inside_.column_hi) all_inside_.column_hi = in.column_hi;
    }
  }

  /// For line (i, j); false where it needs none of them.
  template <class T>
  bool select(const ConvLines& lines, int64_t i, int64_t j, Tile<T>& t) {
    t.offsets = all_;
    t.weights = all_weights_;
    t.count = run_.count;
    if (inside_ == nullptr) return t.count > 0;
    const int64_t row = lines.row + (lines.by_column ? i : j), column = lines.column + j;
    const auto contains = [&](const ConvInside& in) {
      const bool in_row = row >= in.row_lo && row < in.row_hi;
      return in_row && (!lines.by_column || (column >= in.column_lo && column < in.column_hi));
    };
    if (contains(all_inside_)) return t.count > 0;
    int64_t count = 0;
    for (int64_t e = 0; e < run_.count; ++e) {
      offsets_[count] = all_[e];
      weights_[count] = all_weights_[e];
      count += contains(inside_[e]) ? 1 : 0;
    }
    t.offsets = offsets_;
    t.weights = weights_;
    t.count = count;
    return count > 0;
  }

 private:
  const int64_t* all_;
  const ConvInside* inside_;
  ConvInside all_inside_;  // where every entry is inside
  ConvRun run_;
  int64_t all_weights_[kConvRunEntries], offsets_[kConvRunEntries], weights_[kConvRunEntries];
};

/// Runs a tile of which y has no more than t.lanes of the last vector, by a copy of its pixels.
template <class T, int V>
[[gnu::noinline]] void run_part(TileFunction<T> run, const Tile<T>& t, T* y, const T* x, int64_t pixels) {
  constexpr int kL = kLanes<T>, kWidth = V * kL;
  alignas(kVectorBytes) T copy[16 * kWidth] = {};
  const int64_t channels = (V - 1) * kL + t.lanes;
  for (int64_t p = 0; !t.first && p < pixels; ++p) {
    for (int64_t c = 0; c < channels; ++c) copy[p * kWidth + c] = y[p * t.y_pixel + c];
  }
  Tile<T> whole = t;
  whole.y_pixel = kWidth;
  run(whole, copy, x);
  for (int64_t p = 0; p < pixels; ++p) {
    for (int64_t c = 0; c < channels; ++c) y[p * t.y_pixel + c] = copy[p * kWidth + c];
  }
}

template <class T, Kind K, int V>
void run_lines(Tile<T>& t, Entries& entries, T* y, const T* x, const ConvLines& lines, Ahead& ahead) {
  const int64_t tiles = tile_count<K, V>(lines.length);
  if (tiles == 0) return;
  const int64_t small = lines.length / tiles, large_tiles = lines.length % tiles;
  const TileFunction<T> run_small = pick<T, K, V, kMost<K, V>>(small);
  const TileFunction<T> run_large = large_tiles > 0 ? pick<T, K, V, kMost<K, V>>(small + 1) : run_small;
  for (int64_t i = 0; i < lines.outer; ++i) {
    for (int64_t j = 0; j < lines.inner; ++j) {
      if (!entries.select(lines, i, j, t) && !t.first) continue;
      const T* from = x + i * lines.x_outer + j * lines.x_inner;
      T* to = y + i * lines.y_outer + j * lines.y_inner;
      for (int64_t n = 0; n < tiles; ++n) {
        ahead.advance();
        const TileFunction<T> run = n < large_tiles ? run_large : run_small;
        const int64_t pixels = n < large_tiles ? small + 1 : small;
        t.lanes == kLanes<T> ? run(t, to, from) : run_part<T, V>(run, t, to, from, pixels);
        from += pixels * lines.x_pixel;
        to += pixels * lines.y_pixel;
      }
    }
  }
}

/// Which tile_row can serve a run.
enum class Rows : unsigned char { No, Blocked, Rgb };
/// Taps 16 apart may be of two kernel rows, where an output row has one column. A line in the padding leaves
/// out those of one row only: they do not go by threes then.
Rows rows_of(const ConvReduction& r, const ConvRun& run, const ConvLines& lines) {
  if (lines.x_pixel == kRgb && run.channels == 3 * kRgb) return Rows::Rgb;
  if (lines.x_pixel != kConvBlock || run.count % 3 != 0) return Rows::No;
  for (int64_t e = run.first; e < run.first + run.count; ++e) {
    if ((e - run.first) % 3 == 0) continue;
    if (r.offsets[e] != r.offsets[e - 1] + kConvBlock) return Rows::No;
    if (r.inside == nullptr) continue;
    const ConvInside &in = r.inside[e], &before = r.inside[e - 1];
    if (in.row_lo != before.row_lo || in.row_hi != before.row_hi) return Rows::No;
  }
  return Rows::Blocked;
}

template <class T, int V>
void run_tile(const ConvTileJob<T>& job, int64_t first_k, Ahead& ahead) {
  const ConvReduction& r = job.reduction;
  const int64_t left = r.k - first_k;
  const int64_t last = left - (V - 1) * kLanes<T>;
  Tile<T> t{};
  t.x_pixel = job.lines.x_pixel;
  t.y_pixel = job.lines.y_pixel;
  t.bias = job.bias == nullptr ? nullptr : job.bias + first_k;
  t.lanes = last < kLanes<T> ? last : kLanes<T>;
  T bias[V * kLanes<T>] = {};
  if (t.bias != nullptr && t.lanes < kLanes<T>) {
    for (int64_t k = 0; k < left; ++k) bias[k] = t.bias[k];
    t.bias = bias;
  }
  for (int64_t n = job.run_lo; n < job.run_hi; ++n) {
    const ConvRun run = r.runs[n];
    t.first = n == 0;
    t.w = job.w + first_k * r.length + r.starts[run.first] * V * kLanes<T>;
    t.channels = run.channels;
    Entries entries(r, run, V * kLanes<T>);
    T* y = job.y + first_k;
    const Rows rows = V == 1 && kRegisters == 32 ? rows_of(r, run, job.lines) : Rows::No;
    if (rows == Rows::Blocked) {
      run_lines<T, Kind::Rows, 1>(t, entries, y, job.x, job.lines, ahead);
    } else if (rows == Rows::Rgb) {
      run_lines<T, Kind::RgbRows, 1>(t, entries, y, job.x, job.lines, ahead);
    } else if (V == 2 && job.lines.x_pixel == 32) {
      run_lines<T, Kind::Step32, 2>(t, entries, y, job.x, job.lines, ahead);
    } else if (V == 2 && job.lines.x_pixel == 64) {
      run_lines<T, Kind::Step64, 2>(t, entries, y, job.x, job.lines, ahead);
    } else if (job.lines.x_pixel != kConvBlock) {
      run_lines<T, Kind::Strided, V>(t, entries, y, job.x, job.lines, ahead);
    } else {
      run_lines<T, Kind::Blocked, V>(t, entries, y, job.x, job.lines, ahead);
    }
  }
}

/// Outputs that no input reaches: bias or zero.
template <class T>
void fill(const ConvTileJob<T>& job) {
  const ConvLines& l = job.lines;
  const int64_t k = job.reduction.k;
  for (int64_t i = 0; i < l.outer; ++i) {
    for (int64_t j = 0; j < l.inner; ++j) {
      for (int64_t n = 0; n < l.length; ++n) {
        T* y = job.y + i * l.y_outer + j * l.y_inner + n * l.y_pixel;
        int64_t c = 0;
        for (; c + kLanes<T> <= k; c += kLanes<T>)
          store(y + c, job.bias == nullptr ? Vec<T>{} : load(job.bias + c));
        for (; c < k; ++c) y[c] = job.bias == nullptr ? T(0) : job.bias[c];
      }
    }
  }
}

template <class T>
void run(ConvTileJob<T> job) {
  if (job.reduction.run_count == 0) return fill(job);
  job.lines = merged(job.lines, job.reduction.inside);
  const int64_t tiles_of_k = (job.reduction.k + 2 * kLanes<T> - 1) / (2 * kLanes<T>);
  Ahead ahead(job.ahead, tiles_of_k * (job.run_hi - job.run_lo) * job.lines.outer * job.lines.inner *
                             tile_count<Kind::Blocked, 2>(job.lines.length));
  int64_t k = 0;
  for (; job.reduction.k - k > kLanes<T>; k += 2 * kLanes<T>) run_tile<T, 2>(job, k, ahead);
  if (k < job.reduction.k) run_tile<T, 1>(job, k, ahead);
}

}  // namespace

void conv_tile_f32(const ConvTileJob<float>& job) {
  run(job);
}
void conv_tile_f64(const ConvTileJob<double>& job) {
  run(job);
}
int64_t conv_vector_bytes() {
  return kVectorBytes;
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
