// Two vectors of channels at a time go down the rows with their sums in registers, a few rows side by side
// so that additions do not wait for each other; sums pass into double every 256 rows.

#include "core/cpu/isa/conv_map.h"
#include "core/cpu/isa_conv_rows.h"
#include "core/simd.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

constexpr int kRows = kRegisters == 32 ? 4 : 2;  // side by side
constexpr int64_t kBlockRows = 256;

/// V vectors of channels from `first` on, of which the last has `lanes`.
struct Columns {
  int64_t channels;  // of a row
  int64_t first, lanes;
};

template <class T, int V>
[[gnu::always_inline]] inline Vec<T> load_column(const T* row, const Columns& c, int v) {
  const T* from = row + c.first + v * kLanes<T>;
  return v < V - 1 || c.lanes == kLanes<T> ? load(from) : load_first(from, c.lanes);
}
template <class T, int V>
[[gnu::always_inline]] inline void store_column(T* row, Vec<T> value, const Columns& c, int v) {
  T* to = row + c.first + v * kLanes<T>;
  v < V - 1 || c.lanes == kLanes<T> ? store(to, value) : store_first(to, value, c.lanes);
}

/// Adds the rows' sums to `sum`, a value per channel.
template <class T, int V>
[[gnu::always_inline]] inline void flush(double* sum, Vec<T> (&rows)[kRows][V], const Columns& c) {
  for (int v = 0; v < V; ++v) {
    Vec<T> total = rows[0][v];
    for (int r = 1; r < kRows; ++r) total += rows[r][v];
    for (int r = 0; r < kRows; ++r) rows[r][v] = Vec<T>{};
    const int64_t lanes = v < V - 1 ? kLanes<T> : c.lanes;
    for (int64_t l = 0; l < lanes; ++l) sum[c.first + v * kLanes<T> + l] += static_cast<double>(total[l]);
  }
}

/// Calls body(row, r) for every row, r counting modulo kRows, and flush after each block of rows.
template <class Body, class Flush>
[[gnu::always_inline]] inline void down_rows(int64_t rows, const Body& body, const Flush& flush_sums) {
  for (int64_t lo = 0; lo < rows; lo += kBlockRows) {
    const int64_t hi = lo + kBlockRows < rows ? lo + kBlockRows : rows;
    int64_t n = lo;
    for (; n + kRows <= hi; n += kRows) {
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) body(n + r, r);
    }
    for (; n < hi; ++n) body(n, 0);
    flush_sums();
  }
}

/// Calls fn with V as a constant for all channels.
template <class T, class Fn>
void for_columns(int64_t channels, const Fn& fn) {
  constexpr int64_t kL = kLanes<T>;
  int64_t first = 0;
  for (; channels - first > kL; first += 2 * kL) {
    const int64_t left = channels - first - kL;
    fn.template operator()<2>(Columns{channels, first, left < kL ? left : kL});
  }
  if (first < channels) fn.template operator()<1>(Columns{channels, first, channels - first});
}

template <class T, int V, bool kResidual, bool kResidualMask, bool kMask>
[[gnu::noinline]] void input_gradient(double* sums, const InputGradientRows<T>& o, int64_t rows,
                                      const Columns& c) {
  Vec<T> sum[kRows][V] = {}, product[kRows][V] = {}, mean[V], scale[V], shift[V];
  for (int v = 0; v < V; ++v) {
    mean[v] = kMask ? load_column<T, V>(o.mask.mean, c, v) : Vec<T>{};
    scale[v] = kMask ? load_column<T, V>(o.mask.scale, c, v) : Vec<T>{};
    shift[v] = kMask ? load_column<T, V>(o.mask.shift, c, v) : Vec<T>{};
  }
  const auto body = [&](int64_t row, int r) __attribute__((always_inline)) {
    const int64_t at = row * c.channels;
    for (int v = 0; v < V; ++v) {
      Vec<T> value = load_column<T, V>(o.v + at, c, v);
      if constexpr (kResidual) {
        const Vec<T> g = load_column<T, V>(o.residual_dy + at, c, v);
        value += kResidualMask ? masked_value(g, load_column<T, V>(o.residual_y + at, c, v)) : g;
      }
      if constexpr (kMask) {
        const Vec<T> x = load_column<T, V>(o.mask.x + at, c, v);
        value = masked_value(value, affine_value(x, mean[v], scale[v], shift[v]));
        sum[r][v] += value;
        product[r][v] += value * (x - mean[v]);
      }
      store_column<T, V>(o.v + at, value, c, v);
    }
  };
  down_rows(
      rows, body, [&]() __attribute__((always_inline)) {
        if constexpr (kMask) {
          flush<T, V>(sums, sum, c);
          flush<T, V>(sums + c.channels, product, c);
        }
      });
}

template <class T, bool kResidual, bool kResidualMask>
void input_gradient_columns(double* sums, const InputGradientRows<T>& o, RowChunk chunk) {
  for_columns<T>(chunk.channels, [&]<int V>(const Columns& c) {
    o.mask.x != nullptr ? input_gradient<T, V, kResidual, kResidualMask, true>(sums, o, chunk.rows, c)
                        : input_gradient<T, V, kResidual, kResidualMask, false>(sums, o, chunk.rows, c);
  });
}

template <class T>
void any_input_gradient(double* sums, const InputGradientRows<T>& o, RowChunk chunk) {
  if (o.residual_dy == nullptr) {
    if (o.mask.x != nullptr) input_gradient_columns<T, false, false>(sums, o, chunk);
  } else if (o.residual_y == nullptr) {
    input_gradient_columns<T, true, false>(sums, o, chunk);
  } else {
    input_gradient_columns<T, true, true>(sums, o, chunk);
  }
}

template <class T, int V, ConvMap kMap, bool kSwitch>
[[gnu::noinline]] void map_columns(T* to, const T* x, const ConvMapping<T>& m, int64_t rows,
                                   const Columns& c) {
  constexpr bool kMapped = kMap != ConvMap::Identity, kGradient = kMap == ConvMap::Gradient;
  Vec<T> mean[V], scale[V], slope[V], shift[V];
  for (int v = 0; v < V; ++v) {
    mean[v] = kMapped ? load_column<T, V>(m.mean, c, v) : Vec<T>{};
    scale[v] = kMapped ? load_column<T, V>(m.scale, c, v) : Vec<T>{};
    slope[v] = kGradient ? load_column<T, V>(m.slope, c, v) : Vec<T>{};
    shift[v] = kMapped ? load_column<T, V>(m.shift, c, v) : Vec<T>{};
  }
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t at = row * c.channels;
    for (int v = 0; v < V; ++v) {
      const Vec<T> value = load_column<T, V>(x + at, c, v);
      const Vec<T> g = kGradient ? load_column<T, V>(m.g + at, c, v) : value;
      const Vec<T> y = kGradient && kSwitch ? load_column<T, V>(m.y + at, c, v) : value;
      store_column<T, V>(to + at, mapped<kMap, kSwitch>(value, g, y, mean[v], scale[v], slope[v], shift[v]),
                         c, v);
    }
  }
}

template <class T>
void any_map(T* to, const T* x, const ConvMapping<T>& m, RowChunk chunk) {
  for_mapping(m, [&]<ConvMap kMap, bool kSwitch>() {
    for_columns<T>(chunk.channels, [&]<int V>(const Columns& c) {
      map_columns<T, V, kMap, kSwitch>(to, x, m, chunk.rows, c);
    });
  });
}

// Sums of distances from the first row, which lies as far from the mean as any row does: no cancellation to
// speak of, in one pass.
template <class T, int V>
[[gnu::noinline]] void moment_columns(double* moments, const T* x, int64_t rows, const Columns& c) {
  Vec<T> sum[kRows][V] = {}, square[kRows][V] = {}, origin[V];
  for (int v = 0; v < V; ++v) {
    origin[v] = load_column<T, V>(x, c, v);
    const int64_t lanes = v < V - 1 ? kLanes<T> : c.lanes;
    for (int64_t l = 0; l < lanes; ++l) {
      const int64_t channel = c.first + v * kLanes<T> + l;
      moments[channel] = moments[c.channels + channel] = 0;
    }
  }
  const auto body = [&](int64_t row, int r) __attribute__((always_inline)) {
    for (int v = 0; v < V; ++v) {
      const Vec<T> d = load_column<T, V>(x + row * c.channels, c, v) - origin[v];
      sum[r][v] += d;
      square[r][v] += d * d;
    }
  };
  down_rows(
      rows, body, [&]() __attribute__((always_inline)) {
        flush<T, V>(moments, sum, c);
        flush<T, V>(moments + c.channels, square, c);
      });
}

template <class T>
void moments(double* result, const T* x, RowChunk chunk) {
  for_columns<T>(chunk.channels,
                 [&]<int V>(const Columns& c) { moment_columns<T, V>(result, x, chunk.rows, c); });
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
