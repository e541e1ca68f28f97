// Loops over rows of channels that set up little, see core/cpu/isa_conv_rows.h.
//
// Note [Rows in flight]
// A loop is an Op: constants of a vector of channels, and what one vector of a row gives, adding to up to two
// sums. Rows of one or two vectors go by with constants and sums in registers, kRows side by side so that
// additions do not wait for each other. Longer rows are read in order, as memory delivers them, kRows at a
// time, with constants and sums in L1. Sums pass into double every 256 rows.

#include "core/cpu/isa/conv_map.h"
#include "core/cpu/isa_conv_rows.h"
#include "core/simd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

constexpr int kRows = kRegisters == 32 ? 4 : 2;  // side by side
constexpr int64_t kBlockRows = 256;
constexpr int64_t kStrip = 512;  // channels whose sums are in L1

/// A vector, or its first n lanes.
template <bool kWhole, class T>
[[gnu::always_inline]] inline Vec<T> load_lanes(const T* from, int64_t n) {
  return kWhole ? load(from) : load_first(from, n);
}
template <bool kWhole, class T>
[[gnu::always_inline]] inline void store_lanes(T* to, Vec<T> value, int64_t n) {
  kWhole ? store(to, value) : store_first(to, value, n);
}

template <class T, bool kResidual, bool kResidualMask, bool kMask>
struct InputGradientOp {
  static constexpr bool kSums = kMask;
  const InputGradientRows<T>& o;

  struct Constants {
    Vec<T> mean{}, scale{}, shift{};
  };
  template <bool kWhole>
  [[gnu::always_inline]] Constants constants(int64_t channel, int64_t n) const {
    if constexpr (!kMask) return {};
    return {load_lanes<kWhole>(o.mask.mean + channel, n), load_lanes<kWhole>(o.mask.scale + channel, n),
            load_lanes<kWhole>(o.mask.shift + channel, n)};
  }
  template <bool kWhole>
  [[gnu::always_inline]] void add(const Constants& c, int64_t at, int64_t n, Vec<T>& sum,
                                  Vec<T>& product) const {
    Vec<T> value = load_lanes<kWhole>(o.v + at, n);
    if constexpr (kResidual) {
      const Vec<T> g = load_lanes<kWhole>(o.residual_dy + at, n);
      value += kResidualMask ? masked_value(g, load_lanes<kWhole>(o.residual_y + at, n)) : g;
    }
    if constexpr (kMask) {
      const Vec<T> x = load_lanes<kWhole>(o.mask.x + at, n);
      value = masked_value(value, affine_value(x, c.mean, c.scale, c.shift));
      sum += value;
      product += value * (x - c.mean);
    }
    store_lanes<kWhole>(o.v + at, value, n);
  }
};

template <class T, ConvMap kMap, bool kSwitch>
struct MapOp {
  static constexpr bool kSums = false;
  static constexpr bool kMapped = kMap != ConvMap::Identity, kGradient = kMap == ConvMap::Gradient;
  const ConvMapping<T>& m;
  T* to;
  const T* x;

  struct Constants {
    Vec<T> mean{}, scale{}, slope{}, shift{};
  };
  template <bool kWhole>
  [[gnu::always_inline]] Constants constants(int64_t channel, int64_t n) const {
    Constants c;
    if constexpr (kMapped) {
      c.mean = load_lanes<kWhole>(m.mean + channel, n);
      c.scale = load_lanes<kWhole>(m.scale + channel, n);
      c.shift = load_lanes<kWhole>(m.shift + channel, n);
    }
    if constexpr (kGradient) c.slope = load_lanes<kWhole>(m.slope + channel, n);
    return c;
  }
  template <bool kWhole>
  [[gnu::always_inline]] void add(const Constants& c, int64_t at, int64_t n, Vec<T>&, Vec<T>&) const {
    const Vec<T> value = load_lanes<kWhole>(x + at, n);
    const Vec<T> g = kGradient ? load_lanes<kWhole>(m.g + at, n) : value;
    const Vec<T> y = kGradient && kSwitch ? load_lanes<kWhole>(m.y + at, n) : value;
    store_lanes<kWhole>(to + at, mapped<kMap, kSwitch>(value, g, y, c.mean, c.scale, c.slope, c.shift), n);
  }
};

// Distances from the first row, which lies as far from the mean as any row does: no cancellation to speak of,
// in one pass.
template <class T>
struct MomentOp {
  static constexpr bool kSums = true;
  const T* x;

  struct Constants {
    Vec<T> origin;
  };
  template <bool kWhole>
  [[gnu::always_inline]] Constants constants(int64_t channel, int64_t n) const {
    return {load_lanes<kWhole>(x + channel, n)};
  }
  template <bool kWhole>
  [[gnu::always_inline]] void add(const Constants& c, int64_t at, int64_t n, Vec<T>& sum,
                                  Vec<T>& square) const {
    const Vec<T> d = load_lanes<kWhole>(x + at, n) - c.origin;
    sum += d;
    square += d * d;
  }
};

template <class T>
[[gnu::always_inline]] inline void add_lanes(double* sum, Vec<T> value, int64_t n) {
  for (int64_t l = 0; l < n; ++l) sum[l] += static_cast<double>(value[l]);
}

/// Rows of V vectors of channels, the last of `last` lanes.
template <class T, int V, bool kWhole, class Op>
[[gnu::noinline]] void run_short(double* sums, const Op& op, RowChunk chunk, int64_t last) {
  constexpr int kL = kLanes<T>;
  const auto lanes = [last](int v) __attribute__((always_inline)) {
    return v < V - 1 ? kL : last;
  };
  typename Op::Constants c[V];
  for (int v = 0; v < V; ++v) c[v] = op.template constants<kWhole>(v * kL, lanes(v));
  for (int64_t lo = 0; lo < chunk.rows; lo += kBlockRows) {
    const int64_t hi = lo + kBlockRows < chunk.rows ? lo + kBlockRows : chunk.rows;
    Vec<T> sum[kRows][V] = {}, second[kRows][V] = {};
    int64_t n = lo;
    for (; n + kRows <= hi; n += kRows) {
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        for (int v = 0; v < V; ++v) {
          op.template add<kWhole>(c[v], (n + r) * chunk.channels + v * kL, lanes(v), sum[r][v], second[r][v]);
        }
      }
    }
    for (; n < hi; ++n) {
      for (int v = 0; v < V; ++v) {
        op.template add<kWhole>(c[v], n * chunk.channels + v * kL, lanes(v), sum[0][v], second[0][v]);
      }
    }
    if constexpr (!Op::kSums) continue;
    for (int v = 0; v < V; ++v) {
      for (int r = 1; r < kRows; ++r) {
        sum[0][v] += sum[r][v];
        second[0][v] += second[r][v];
      }
      add_lanes<T>(sums + v * kL, sum[0][v], lanes(v));
      add_lanes<T>(sums + chunk.channels + v * kL, second[0][v], lanes(v));
    }
  }
}

/// Rows [lo, lo + R) of one vector of channels; `acc`: its two sums, kStrip apart.
template <class T, int R, bool kWhole, class Op>
[[gnu::always_inline]] inline void run_vector(T* acc, const Op& op, int64_t lo, int64_t channels,
                                              int64_t channel, int64_t n) {
  const typename Op::Constants c = op.template constants<kWhole>(channel, n);
  Vec<T> sum{}, second{};
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    op.template add<kWhole>(c, (lo + r) * channels + channel, n, sum, second);
  }
  if constexpr (!Op::kSums) return;
  store(acc, load(acc) + sum);
  store(acc + kStrip, load(acc + kStrip) + second);
}

/// Rows [lo, lo + R) of channels [first, first + count).
template <class T, int R, class Op>
[[gnu::noinline]] void run_rows(T* acc, const Op& op, int64_t lo, int64_t channels, int64_t first,
                                int64_t count) {
  int64_t j = 0;
  for (; j + kLanes<T> <= count; j += kLanes<T>) {
    run_vector<T, R, true>(acc + j, op, lo, channels, first + j, kLanes<T>);
  }
  if (j < count) run_vector<T, R, false>(acc + j, op, lo, channels, first + j, count - j);
}

template <class T, class Op>
void run_long(double* sums, const Op& op, RowChunk chunk) {
  for (int64_t first = 0; first < chunk.channels; first += kStrip) {
    const int64_t left = chunk.channels - first, count = left < kStrip ? left : kStrip;
    for (int64_t lo = 0; lo < chunk.rows; lo += kBlockRows) {
      const int64_t hi = lo + kBlockRows < chunk.rows ? lo + kBlockRows : chunk.rows;
      alignas(kVectorBytes) T acc[2 * kStrip];
      if constexpr (Op::kSums) {
        for (T& a : acc) a = 0;
      }
      int64_t n = lo;
      for (; n + kRows <= hi; n += kRows) run_rows<T, kRows>(acc, op, n, chunk.channels, first, count);
      for (; n < hi; ++n) run_rows<T, 1>(acc, op, n, chunk.channels, first, count);
      if constexpr (!Op::kSums) continue;
      for (int64_t j = 0; j < count; ++j) {
        sums[first + j] += static_cast<double>(acc[j]);
        sums[chunk.channels + first + j] += static_cast<double>(acc[kStrip + j]);
      }
    }
  }
}

/// Adds the Op's sums: channels of the first, then of the second.
template <class T, class Op>
void run(double* sums, const Op& op, RowChunk chunk) {
  constexpr int64_t kL = kLanes<T>;
  const int64_t c = chunk.channels;
  if (c > 2 * kL) return run_long<T>(sums, op, chunk);
  if (c == 2 * kL) return run_short<T, 2, true>(sums, op, chunk, kL);
  if (c > kL) return run_long<T>(sums, op, chunk);
  if (c == kL) return run_short<T, 1, true>(sums, op, chunk, kL);
  run_short<T, 1, false>(sums, op, chunk, c);
}

template <class T, bool kResidual, bool kResidualMask>
void input_gradient(double* sums, const InputGradientRows<T>& o, RowChunk chunk) {
  if (o.mask.x != nullptr) {
    run<T>(sums, InputGradientOp<T, kResidual, kResidualMask, true>{o}, chunk);
  } else if constexpr (kResidual) {
    run<T>(sums, InputGradientOp<T, kResidual, kResidualMask, false>{o}, chunk);
  }
}

template <class T>
void any_input_gradient(double* sums, const InputGradientRows<T>& o, RowChunk chunk) {
  if (o.residual_dy == nullptr) {
    input_gradient<T, false, false>(sums, o, chunk);
  } else if (o.residual_y == nullptr) {
    input_gradient<T, true, false>(sums, o, chunk);
  } else {
    input_gradient<T, true, true>(sums, o, chunk);
  }
}

template <class T>
void any_map(T* to, const T* x, const ConvMapping<T>& m, RowChunk chunk) {
  for_mapping(m, [&]<ConvMap kMap, bool kSwitch>() {
    run<T>(nullptr, MapOp<T, kMap, kSwitch>{m, to, x}, chunk);
  });
}

template <class T>
void moments(double* result, const T* x, RowChunk chunk) {
  for (int64_t j = 0; j < 2 * chunk.channels; ++j) result[j] = 0;
  run<T>(result, MomentOp<T>{x}, chunk);
  for (int64_t j = 0; j < chunk.channels; ++j) {
    const double shift = result[j] / static_cast<double>(chunk.rows);
    const double spread = result[chunk.channels + j] - shift * shift * static_cast<double>(chunk.rows);
    result[j] = static_cast<double>(x[j]) + shift;
    result[chunk.channels + j] = spread < 0 ? 0 : spread;  // NaN stays
  }
}

}  // namespace

#define LATHE_DEFINE(T, suffix)                                                                           \
  void input_gradient_rows_##suffix(double* sums, const InputGradientRows<T>& operands, RowChunk chunk) { \
    any_input_gradient(sums, operands, chunk);                                                            \
  }                                                                                                       \
  void map_rows_##suffix(T* to, const T* x, const ConvMapping<T>& mapping, RowChunk chunk) {              \
    any_map(to, x, mapping, chunk);                                                                       \
  }                                                                                                       \
  void moment_rows_##suffix(double* result, const T* x, RowChunk chunk) {                                 \
    moments(result, x, chunk);                                                                            \
  }
LATHE_DEFINE(float, f32)
LATHE_DEFINE(double, f64)
#undef LATHE_DEFINE

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
