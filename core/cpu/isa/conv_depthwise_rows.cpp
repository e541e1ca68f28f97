// Depthwise micro-kernels of small kernels, see Note [Depthwise rows] in core/cpu/isa_depthwise.h.

#include "core/cpu/isa/conv_depthwise_load.h"
#include "core/cpu/isa_depthwise.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

constexpr int kTile = kRegisters == 32 ? 16 : 8;  // sums, or pixels of dy

/// Pixels that a tile of outputs reads: `first` of the row of inputs, less `left` of the tile's first and
/// `right` of its last ones, which are outside the image.
struct Reach {
  int64_t left, right;
};

/// Calls visit(q, x[q]) for pixels -Before <= q < Count + After of a row, `step` elements apart, but for
/// reach.left of those before 0 and reach.right of those from Count on.
template <int Before, int Count, int After, class T, class Visit>
[[gnu::always_inline]] inline void each_pixel(const T* x, int64_t step, const Reach& reach,
                                              const Visit& visit) {
#pragma GCC unroll 2
  for (int q = -Before; q < 0; ++q) {
    if (reach.left <= q + Before) visit(q, load_kept(x + q * step));
  }
#pragma GCC unroll 40
  for (int q = 0; q < Count; ++q) {
    visit(q, load_kept(x));
    x += step;
    keep_address(x);
  }
#pragma GCC unroll 2
  for (int q = 0; q < After; ++q) {
    if (reach.right < After - q) visit(Count + q, load_kept(x + q * step));
  }
}

/// Where a tile begins: elements from the first pixel of the rows that it reads and writes; its vector of
/// channels in the weights.
struct Place {
  int64_t in, out, slot;
};

/// P outputs of a row.
template <class T, int K, int S>
struct Forward {
  static constexpr int kMost = S == 1 ? kTile : kTile / 2, kIn = S, kOut = 1;

  template <int P>
  [[gnu::always_inline]] static void tile(const DepthwiseBand<T>& band, const Place& at, const Reach& reach) {
    constexpr int kHalf = K / 2, kCount = (P - 1) * S + 1;
    Vec<T> acc[P];
    const Vec<T> start = band.bias == nullptr ? Vec<T>{} : load(band.bias + at.slot);
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) acc[p] = start;
    for (int64_t i = 0; i < band.row.count; ++i) {
      Vec<T> w[K];
      load_all(w, band.w + band.row.w[i] + at.slot, band.slots);
      each_pixel<kHalf, kCount, kHalf>(band.row.in[i] + at.in, band.channels, reach, [&](int q, Vec<T> v) {
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) {
          const int kx = q - p * S + kHalf;
          if (kx >= 0 && kx < K) acc[p] += v * w[kx];
        }
      });
    }
    T* y = band.row.out + at.out;
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p, y += band.channels) {
      keep_address(y);
      store(y, acc[p]);
    }
  }
};

/// The products of P pixels of a row of dy.
template <class T, int K, int S>
struct Weight {
  static constexpr int kMost = S == 1 ? kTile : kTile / 2, kIn = S, kOut = 1;

  template <int P>
  [[gnu::always_inline]] static void tile(const DepthwiseBand<T>& band, const Place& at, const Reach& reach) {
    constexpr int kHalf = K / 2, kCount = (P - 1) * S + 1;
    constexpr int kSums = P > 1 && K * 2 + P + 1 <= kRegisters ? 2 : 1;  // more chains of FMAs
    Vec<T> g[P];
    load_all(g, band.row.dy + at.out, band.channels);
    for (int64_t i = 0; i < band.row.count; ++i) {
      Vec<T> acc[K][kSums] = {};
      each_pixel<kHalf, kCount, kHalf>(band.row.in[i] + at.in, band.channels, reach, [&](int q, Vec<T> v) {
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) {
          const int kx = q - p * S + kHalf;
          if (kx >= 0 && kx < K) acc[kx][p % kSums] += v * g[p];
        }
      });
      T* to = band.dw + band.row.w[i] + at.slot;
#pragma GCC unroll 5
      for (int kx = 0; kx < K; ++kx, to += band.slots) {
        keep_address(to);
        const Vec<T> sum = kSums == 2 ? acc[kx][0] + acc[kx][kSums - 1] : acc[kx][0];
        store(to, load(to) + sum);
      }
    }
  }
};

/// 2 P pixels of dx from P of dy.
template <class T, int K, int>
struct Spread {
  static constexpr int kMost = kTile / 2, kIn = 1, kOut = 2;

  template <int P>
  [[gnu::always_inline]] static void tile(const DepthwiseBand<T>& band, const Place& at, const Reach& reach) {
    constexpr int kHalf = K / 2, kBefore = kHalf / 2;
    Vec<T> acc[2 * P] = {};
    for (int64_t i = 0; i < band.row.count; ++i) {
      Vec<T> w[K];
      load_all(w, band.w + band.row.w[i] + at.slot, band.slots);
      each_pixel<kBefore, P, 1>(band.row.in[i] + at.in, band.channels, reach, [&](int q, Vec<T> v) {
#pragma GCC unroll 32
        for (int u = 0; u < 2 * P; ++u) {
          const int kx = u - 2 * q + kHalf;
          if (kx >= 0 && kx < K) acc[u] += v * w[kx];
        }
      });
    }
    T* dx = band.row.out + at.out;
#pragma GCC unroll 32
    for (int u = 0; u < 2 * P - 1; ++u, dx += band.channels) {
      keep_address(dx);
      store(dx, acc[u]);
    }
    if (reach.right == 0 || band.width == 2 * band.out_width) store(dx, acc[2 * P - 1]);
  }
};

template <class Kernel, int K, int P, class T>
[[gnu::always_inline]] inline Reach reach_of(const DepthwiseBand<T>& band, int64_t column) {
  if constexpr (Kernel::kOut == 2) return {column == 0, column + P == band.out_width};
  const int64_t first = column * Kernel::kIn;
  return {K / 2 - first, first + (P - 1) * Kernel::kIn + 1 + K / 2 - band.width};
}

template <class Kernel, int P, class T>
[[gnu::always_inline]] inline void prefetch_ahead(const DepthwiseBand<T>& band, const Place& at) {
  for (const T* from : band.ahead) {
    if (from != nullptr) prefetch<P * Kernel::kIn>(from + at.in, band.channels);
  }
  if (band.ahead_dy != nullptr) prefetch<P>(band.ahead_dy + at.out, band.channels);
}

/// Tiles of P columns from `column` on, then of fewer.
template <class T, int K, class Kernel, int P>
[[gnu::noinline]] void run_tiles(const DepthwiseBand<T>& band, int64_t column) {
  const int64_t last = band.channels - kLanes<T>;
  for (; column + P <= band.out_width; column += P) {
    const Reach reach = reach_of<Kernel, K, P>(band, column);
    const int64_t in = column * Kernel::kIn * band.channels, out = column * Kernel::kOut * band.channels;
    for (int64_t slot = 0; slot < band.slots; slot += kLanes<T>) {
      const int64_t c = slot < last ? slot : last;
      const Place at{in + c, out + c, slot};
      prefetch_ahead<Kernel, P>(band, at);
      Kernel::template tile<P>(band, at, reach);
    }
  }
  if constexpr (P > 1) {
    if (column < band.out_width) run_tiles<T, K, Kernel, P / 2>(band, column);
  }
}

/// Begins with the widest tiles that fit.
template <class T, int K, class Kernel, int P = Kernel::kMost>
void run_band(const DepthwiseBand<T>& band) {
  if constexpr (P > 1) {
    if (band.out_width < P) return run_band<T, K, Kernel, P / 2>(band);
  }
  run_tiles<T, K, Kernel, P>(band, 0);
}

template <template <class, int, int> class Kernel, class T>
void run(const DepthwiseBand<T>& band) {
  if (band.kernel == 3) {
    band.stride == 1 ? run_band<T, 3, Kernel<T, 3, 1>>(band) : run_band<T, 3, Kernel<T, 3, 2>>(band);
  } else {
    band.stride == 1 ? run_band<T, 5, Kernel<T, 5, 1>>(band) : run_band<T, 5, Kernel<T, 5, 2>>(band);
  }
}

template <class T>
void run_spread(const DepthwiseBand<T>& band) {
  band.kernel == 3 ? run_band<T, 3, Spread<T, 3, 2>>(band) : run_band<T, 5, Spread<T, 5, 2>>(band);
}

template <class T>
void add(T* sum, const T* from, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes<T>) store(sum + i, load(sum + i) + load(from + i));
}

}  // namespace

void depthwise_rows_f32(const DepthwiseBand<float>& band) {
  run<Forward>(band);
}
void depthwise_rows_f64(const DepthwiseBand<double>& band) {
  run<Forward>(band);
}
void depthwise_spread_f32(const DepthwiseBand<float>& band) {
  run_spread(band);
}
void depthwise_spread_f64(const DepthwiseBand<double>& band) {
  run_spread(band);
}
void depthwise_weight_rows_f32(const DepthwiseBand<float>& band) {
  run<Weight>(band);
}
void depthwise_weight_rows_f64(const DepthwiseBand<double>& band) {
  run<Weight>(band);
}
void depthwise_add_f32(float* sum, const float* from, int64_t n) {
  add(sum, from, n);
}
void depthwise_add_f64(double* sum, const double* from, int64_t n) {
  add(sum, from, n);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
