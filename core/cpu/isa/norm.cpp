#include "core/cpu/isa/norm_map.h"
#include "core/cpu/isa_norm.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

// Values that an inner loop runs over: few channels are handled as several rows at once, many channels in
// blocks, so that loops are long for any number of channels.
constexpr int64_t kWidest = 512;

/// Channels [first, first + channels) of a chunk, seen as `count` strips of `width` = repeats * channels
/// values, `stride` apart, and a last strip of `tail` values. Value j of a strip belongs to channel
/// first + j % channels.
struct Strips {
  int64_t channels, repeats, width, stride, count, tail;

  Strips(RowChunk chunk, int64_t first) {
    channels = chunk.channels - first < kWidest ? chunk.channels - first : kWidest;
    repeats = chunk.channels <= kWidest / 2 ? kWidest / chunk.channels : 1;
    width = repeats * channels;
    stride = repeats * chunk.channels;
    count = chunk.rows / repeats;
    tail = chunk.rows % repeats * channels;
  }

  /// to[j] = from[j % channels]
  template <class T>
  void widen(T* to, const T* from) const {
    for (int64_t i = 0; i < repeats; ++i) {
      for (int64_t j = 0; j < channels; ++j) to[i * channels + j] = from[j];
    }
  }
  /// to[c] = sum of the from[j] of channel c
  template <class T>
  void fold(double* to, const T* from) const {
    for (int64_t j = 0; j < channels; ++j) to[j] = static_cast<double>(from[j]);
    for (int64_t i = 1; i < repeats; ++i) {
      for (int64_t j = 0; j < channels; ++j) to[j] += static_cast<double>(from[i * channels + j]);
    }
  }
};

template <class Fn>
void for_each_block(RowChunk chunk, Fn&& fn) {
  for (int64_t first = 0; first < chunk.channels; first += kWidest) fn(Strips(chunk, first), first);
}

// Sums of distances from the chunk's first row, which lies as far from the mean as any row does: no
// cancellation to speak of, in one pass. Four strips share one update of the sums.
template <class T>
void block_moments(double* mean, double* m2, const T* x, const Strips& s, int64_t rows) {
  alignas(64) T origin[kWidest], sum[kWidest] = {}, square[kWidest] = {};
  s.widen(origin, x);
  int64_t strip = 0;
  for (; strip + 4 <= s.count; strip += 4) {
    const T *x0 = x + strip * s.stride, *x1 = x0 + s.stride, *x2 = x1 + s.stride, *x3 = x2 + s.stride;
    for (int64_t j = 0; j < s.width; ++j) {
      const T d0 = x0[j] - origin[j], d1 = x1[j] - origin[j], d2 = x2[j] - origin[j], d3 = x3[j] - origin[j];
      sum[j] += (d0 + d1) + (d2 + d3);
      square[j] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3);
    }
  }
  for (; strip <= s.count; ++strip) {
    const T* x0 = x + strip * s.stride;
    const int64_t width = strip < s.count ? s.width : s.tail;
    for (int64_t j = 0; j < width; ++j) {
      const T d = x0[j] - origin[j];
      sum[j] += d;
      square[j] += d * d;
    }
  }
  double shift[kWidest];
  s.fold(shift, sum);
  s.fold(m2, square);
  for (int64_t j = 0; j < s.channels; ++j) {
    shift[j] /= static_cast<double>(rows);
    mean[j] = static_cast<double>(origin[j]) + shift[j];
    const double spread = m2[j] - shift[j] * shift[j] * static_cast<double>(rows);
    m2[j] = spread < 0 ? 0 : spread;  // NaN stays
  }
}

template <class T>
void moments(double* mean, double* m2, const T* x, RowChunk chunk) {
  for_each_block(chunk, [&](const Strips& s, int64_t first) {
    block_moments(mean + first, m2 + first, x + first, s, chunk.rows);
  });
}

template <class T>
void sums(double* sum, const T* x, RowChunk chunk) {
  for_each_block(chunk, [&](const Strips& s, int64_t first) {
    alignas(64) T wide[kWidest] = {};
    for (int64_t strip = 0; strip <= s.count; ++strip) {
      const T* x0 = x + first + strip * s.stride;
      const int64_t width = strip < s.count ? s.width : s.tail;
      for (int64_t j = 0; j < width; ++j) wide[j] += x0[j];
    }
    s.fold(sum + first, wide);
  });
}

template <bool kResidual, bool kRelu, class T>
void affine_strip(T* __restrict y, const T* __restrict x, const T* __restrict residual, const T* mean,
                  const T* scale, const T* shift, int64_t width) {
  for (int64_t j = 0; j < width; ++j) {
    T v = affine_value(x[j], mean[j], scale[j], shift[j]);
    if constexpr (kResidual) v += residual[j];
    if constexpr (kRelu) v = relu_value(v);
    y[j] = v;
  }
}

template <bool kResidual, bool kRelu, class T>
void affine(const AffineRows<T>& o, RowChunk chunk) {
  for_each_block(chunk, [&](const Strips& s, int64_t first) {
    alignas(64) T mean[kWidest], scale[kWidest], shift[kWidest];
    s.widen(mean, o.mean + first);
    s.widen(scale, o.scale + first);
    s.widen(shift, o.shift + first);
    for (int64_t strip = 0; strip <= s.count; ++strip) {
      const int64_t at = first + strip * s.stride;
      affine_strip<kResidual, kRelu>(o.y + at, o.x + at, kResidual ? o.residual + at : nullptr, mean, scale,
                                     shift, strip < s.count ? s.width : s.tail);
    }
  });
}

template <class T>
void any_affine(const AffineRows<T>& o, RowChunk chunk) {
  if (o.residual != nullptr) {
    o.relu ? affine<true, true>(o, chunk) : affine<true, false>(o, chunk);
  } else {
    o.relu ? affine<false, true>(o, chunk) : affine<false, false>(o, chunk);
  }
}

template <bool kMask, class T>
inline T masked(T g, T y) {
  return kMask ? masked_value(g, y) : g;
}

template <bool kMask, bool kResidual, class T>
void block_gradient_sums(double* sum_g, double* sum_gx, const GradientRows<T>& o, const Strips& s,
                         int64_t first) {
  alignas(64) T mean[kWidest], sum[kWidest] = {}, product[kWidest] = {};
  s.widen(mean, o.mean + first);
  int64_t strip = 0;
  for (; strip + 2 <= s.count; strip += 2) {
    const int64_t at = first + strip * s.stride;
    const T *x0 = o.x + at, *x1 = x0 + s.stride, *g0 = o.dy + at, *g1 = g0 + s.stride;
    const T *y0 = kMask ? o.y + at : g0, *y1 = y0 + s.stride;
    T* __restrict r0 = kResidual ? o.dresidual + at : nullptr;
    for (int64_t j = 0; j < s.width; ++j) {
      const T a = masked<kMask>(g0[j], y0[j]), b = masked<kMask>(g1[j], y1[j]);
      if constexpr (kResidual) r0[j] = a;
      if constexpr (kResidual) r0[j + s.stride] = b;
      sum[j] += a + b;
      product[j] += a * (x0[j] - mean[j]) + b * (x1[j] - mean[j]);
    }
  }
  for (; strip <= s.count; ++strip) {
    const int64_t at = first + strip * s.stride, width = strip < s.count ? s.width : s.tail;
    const T *x0 = o.x + at, *g0 = o.dy + at, *y0 = kMask ? o.y + at : g0;
    T* __restrict r0 = kResidual ? o.dresidual + at : nullptr;
    for (int64_t j = 0; j < width; ++j) {
      const T a = masked<kMask>(g0[j], y0[j]);
      if constexpr (kResidual) r0[j] = a;
      sum[j] += a;
      product[j] += a * (x0[j] - mean[j]);
    }
  }
  s.fold(sum_g + first, sum);
  s.fold(sum_gx + first, product);
}

template <class T>
void gradient_sums(double* sum_g, double* sum_gx, const GradientRows<T>& o, RowChunk chunk) {
  for_each_block(chunk, [&](const Strips& s, int64_t first) {
    if (o.y == nullptr) {
      block_gradient_sums<false, false>(sum_g, sum_gx, o, s, first);
    } else if (o.dresidual == nullptr) {
      block_gradient_sums<true, false>(sum_g, sum_gx, o, s, first);
    } else {
      block_gradient_sums<true, true>(sum_g, sum_gx, o, s, first);
    }
  });
}

template <bool kMask, bool kX, bool kResidual, class T>
void gradient_strip(T* __restrict dx, T* __restrict dresidual, const T* __restrict dy, const T* __restrict x,
                    const T* __restrict y, const T* mean, const T* a, const T* b, const T* c, int64_t width) {
  for (int64_t j = 0; j < width; ++j) {
    const T g = masked<kMask>(dy[j], y[j]);
    if constexpr (kX) dx[j] = gradient_value(g, x[j], mean[j], a[j], b[j], c[j]);
    if constexpr (kResidual) dresidual[j] = g;
  }
}

template <bool kMask, bool kX, bool kResidual, class T>
void gradient(const GradientRows<T>& o, RowChunk chunk) {
  for_each_block(chunk, [&](const Strips& s, int64_t first) {
    alignas(64) T mean[kWidest], a[kWidest], b[kWidest], c[kWidest];
    if constexpr (kX) {
      s.widen(mean, o.mean + first);
      s.widen(a, o.a + first);
      s.widen(b, o.b + first);
      s.widen(c, o.c + first);
    }
    for (int64_t strip = 0; strip <= s.count; ++strip) {
      const int64_t at = first + strip * s.stride;
      gradient_strip<kMask, kX, kResidual>(kX ? o.dx + at : nullptr, kResidual ? o.dresidual + at : nullptr,
                                           o.dy + at, o.x + at, kMask ? o.y + at : o.dy + at, mean, a, b, c,
                                           strip < s.count ? s.width : s.tail);
    }
  });
}

template <bool kMask, class T>
void masked_gradient(const GradientRows<T>& o, RowChunk chunk) {
  if (o.dx != nullptr && o.dresidual != nullptr) {
    gradient<kMask, true, true>(o, chunk);
  } else if (o.dx != nullptr) {
    gradient<kMask, true, false>(o, chunk);
  } else if (o.dresidual != nullptr) {
    gradient<kMask, false, true>(o, chunk);
  }
}

template <class T>
void any_gradient(const GradientRows<T>& o, RowChunk chunk) {
  o.y != nullptr ? masked_gradient<true>(o, chunk) : masked_gradient<false>(o, chunk);
}

}  // namespace

#define LATHE_DEFINE(T, suffix)                                                               \
  void channel_moments_##suffix(double* mean, double* m2, const T* x, RowChunk chunk) {       \
    moments(mean, m2, x, chunk);                                                              \
  }                                                                                           \
  void channel_sums_##suffix(double* sum, const T* x, RowChunk chunk) {                       \
    sums(sum, x, chunk);                                                                      \
  }                                                                                           \
  void affine_rows_##suffix(const AffineRows<T>& operands, RowChunk chunk) {                  \
    any_affine(operands, chunk);                                                              \
  }                                                                                           \
  void gradient_sums_##suffix(double* sum_g, double* sum_gx, const GradientRows<T>& operands, \
                              RowChunk chunk) {                                               \
    gradient_sums(sum_g, sum_gx, operands, chunk);                                            \
  }                                                                                           \
  void gradient_rows_##suffix(const GradientRows<T>& operands, RowChunk chunk) {              \
    any_gradient(operands, chunk);                                                            \
  }
LATHE_DEFINE(float, f32)
LATHE_DEFINE(double, f64)
#undef LATHE_DEFINE

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
