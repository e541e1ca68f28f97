// Depthwise micro-kernels, see core/cpu/conv_depthwise.h.

#include "core/cpu/conv_depthwise.h"

#include "core/simd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

constexpr int kPixels = kRegisters == 32 ? 16 : 8;  // of a tile
constexpr int kTaps = 9;                            // of a tile of the gradient
constexpr int64_t kBlockPixels = 256;               // between two visits of the gradient

int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

template <class T, int P>
[[gnu::noinline]] void tile(const ConvDepthwiseJob<T>& job, T* y, const T* x, const T* w,
                            const int64_t* offsets, Vec<T> start, int64_t lanes) {
  Vec<T> acc[P];
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) acc[p] = start;
  for (int64_t t = 0; t < job.taps; ++t) {
    const Vec<T> b = load(w + t * kConvBlock);
    const T* from = x + offsets[t];
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) acc[p] += load(from + p * job.lines.x_pixel) * b;
  }
  if (lanes == kLanes<T>) {
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) store(y + p * job.lines.y_pixel, acc[p]);
  } else {
    for (int p = 0; p < P; ++p) store_first(y + p * job.lines.y_pixel, acc[p], lanes);
  }
}

template <class T>
using TileFunction = void (*)(const ConvDepthwiseJob<T>&, T*, const T*, const T*, const int64_t*, Vec<T>,
                              int64_t);

template <class T, int P>
TileFunction<T> pick(int64_t pixels) {
  if constexpr (P > 1) {
    if (pixels < P) return pick<T, P - 1>(pixels);
  }
  return &tile<T, P>;
}

/// One line: tiles of nearly equal length, every vector of channels of a tile before the next tile.
template <class T>
void run_line(const ConvDepthwiseJob<T>& job, T* y, const T* x) {
  const int64_t tiles = (job.lines.length + kPixels - 1) / kPixels;
  if (tiles == 0) return;
  const int64_t small = job.lines.length / tiles, large_tiles = job.lines.length % tiles;
  const TileFunction<T> run_small = pick<T, kPixels>(small);
  const TileFunction<T> run_large = pick<T, kPixels>(large_tiles > 0 ? small + 1 : small);
  for (int64_t n = 0; n < tiles; ++n) {
    for (int64_t c = 0; c < job.channels; c += kLanes<T>) {
      const int64_t block = c / kConvBlock, inside = c % kConvBlock;
      const int64_t lanes = least(kLanes<T>, job.channels - c);
      Vec<T> start{};
      if (job.bias != nullptr) {
        start = lanes == kLanes<T> ? load(job.bias + c) : load_first(job.bias + c, lanes);
      }
      (n < large_tiles ? run_large : run_small)(job, y + c, x + inside,
                                                job.w + block * job.taps * kConvBlock + inside,
                                                job.offsets + block * job.taps, start, lanes);
    }
    const int64_t pixels = n < large_tiles ? small + 1 : small;
    x += pixels * job.lines.x_pixel;
    y += pixels * job.lines.y_pixel;
  }
}

template <class T>
void run(const ConvDepthwiseJob<T>& job) {
  const ConvLines& l = job.lines;
  for (int64_t i = 0; i < l.outer; ++i) {
    for (int64_t j = 0; j < l.inner; ++j) {
      run_line(job, job.y + i * l.y_outer + j * l.y_inner, job.x + i * l.x_outer + j * l.x_inner);
    }
  }
}

/// N taps of one vector of channels.
template <class T, int N>
[[gnu::noinline]] void weight_tile(T* dw, const T* x, const T* dy, const int64_t* offsets,
                                   const ConvLines& lines, int64_t lanes, bool accumulate) {
  Vec<T> acc[N];
#pragma GCC unroll 9
  for (int t = 0; t < N; ++t) acc[t] = accumulate ? load(dw + t * kConvBlock) : Vec<T>{};
  for (int64_t i = 0; i < lines.outer; ++i) {
    for (int64_t j = 0; j < lines.inner; ++j) {
      const T* a = x + i * lines.x_outer + j * lines.x_inner;
      const T* b = dy + i * lines.y_outer + j * lines.y_inner;
      for (int64_t n = 0; n < lines.length; ++n) {
        const Vec<T> g = lanes == kLanes<T> ? load(b) : load_first(b, lanes);
#pragma GCC unroll 9
        for (int t = 0; t < N; ++t) acc[t] += load(a + offsets[t]) * g;
        a += lines.x_pixel;
        b += lines.y_pixel;
      }
    }
  }
#pragma GCC unroll 9
  for (int t = 0; t < N; ++t) store(dw + t * kConvBlock, acc[t]);
}

template <class T>
using WeightFunction = void (*)(T*, const T*, const T*, const int64_t*, const ConvLines&, int64_t, bool);

template <class T, int N>
WeightFunction<T> pick_weight(int64_t taps) {
  if constexpr (N > 1) {
    if (taps < N) return pick_weight<T, N - 1>(taps);
  }
  return &weight_tile<T, N>;
}

template <class T>
void run_weight_lines(const ConvDepthwiseJob<T>& job, const ConvLines& lines, const T* x, const T* dy,
                      bool accumulate) {
  for (int64_t c = 0; c < job.channels; c += kLanes<T>) {
    const int64_t block = c / kConvBlock, inside = c % kConvBlock;
    for (int64_t t = 0; t < job.taps; t += kTaps) {
      const int64_t entry = block * job.taps + t;
      pick_weight<T, kTaps>(least(kTaps, job.taps - t))(job.y + entry * kConvBlock + inside, x + inside,
                                                        dy + c, job.offsets + entry, lines,
                                                        least(kLanes<T>, job.channels - c), accumulate);
    }
  }
}

template <class T>
void run_weight(const ConvDepthwiseJob<T>& job) {
  const ConvLines& all = job.lines;
  bool accumulate = job.accumulate;
  const int64_t step = all.length >= kBlockPixels ? 1 : kBlockPixels / (all.length > 0 ? all.length : 1);
  for (int64_t i = 0; i < all.outer; ++i) {
    for (int64_t j = 0; j < all.inner; j += step) {
      ConvLines lines = all;
      lines.outer = 1;
      lines.inner = least(step, all.inner - j);
      run_weight_lines(job, lines, job.x + i * all.x_outer + j * all.x_inner,
                       job.w + i * all.y_outer + j * all.y_inner, accumulate);
      accumulate = true;
    }
  }
}

}  // namespace

void conv_depthwise_f32(const ConvDepthwiseJob<float>& job) {
  run(job);
}
void conv_depthwise_f64(const ConvDepthwiseJob<double>& job) {
  run(job);
}
void conv_depthwise_weight_f32(const ConvDepthwiseJob<float>& job) {
  run_weight(job);
}
void conv_depthwise_weight_f64(const ConvDepthwiseJob<double>& job) {
  run_weight(job);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
