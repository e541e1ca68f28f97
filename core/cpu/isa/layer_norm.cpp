#include "core/cpu/isa/vec.h"
#include "core/cpu/isa_layer_norm.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

/// Sum over i < n of term(i, first lane), where term yields a vector and `tail` one value. Two accumulators
/// hide the latency of an addition.
template <class T, class Term, class Tail>
inline T sum_row(int64_t n, const Term& term, const Tail& tail) {
  constexpr int64_t kStep = kLanes<T>;
  Vec<T> even = splat(T{0}), odd = splat(T{0});
  int64_t i = 0;
  for (; i + 2 * kStep <= n; i += 2 * kStep) {
    even += term(i);
    odd += term(i + kStep);
  }
  if (i + kStep <= n) {
    even += term(i);
    i += kStep;
  }
  T rest = 0;
  for (; i < n; ++i) rest += tail(i);
  return sum_lanes<T>(even + odd) + rest;
}

template <class T>
void normalise_row(T* y, T* mean_out, T* invstd_out, const T* x, const LayerNormRows<T>& o, int64_t n) {
  const T count = static_cast<T>(n);
  const T mean = sum_row<T>(
                     n, [=](int64_t i) { return load(x + i); }, [=](int64_t i) { return x[i]; }) /
                 count;
  const T m2 = sum_row<T>(
      n,
      [=](int64_t i) {
        const Vec<T> d = load(x + i) - mean;
        return d * d;
      },
      [=](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
  const T invstd = static_cast<T>(1 / __builtin_sqrt(static_cast<double>(m2 / count) + o.eps));
  *mean_out = mean;
  *invstd_out = invstd;
  if (o.gamma != nullptr && o.beta != nullptr) {
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * invstd * o.gamma[i] + o.beta[i];
  } else if (o.gamma != nullptr) {
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * invstd * o.gamma[i];
  } else if (o.beta != nullptr) {
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * invstd + o.beta[i];
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * invstd;
  }
}

template <class T>
void rows_forward(const LayerNormRows<T>& o, RowChunk chunk) {
  const int64_t n = chunk.channels;
  for (int64_t row = 0; row < chunk.rows; ++row) {
    normalise_row(o.y + row * n, o.mean + row, o.invstd + row, o.x + row * n, o, n);
  }
}

// With h = dy gamma and z = (x - mean) invstd: dx = invstd (h - mean(h) - z mean(h z)).
template <bool kGamma, class T>
void gradient_row(T* __restrict dx, const T* dy, const T* x, const T* gamma, T mean, T invstd, int64_t n) {
  const auto h = [=](int64_t i) {
    Vec<T> v = load(dy + i);
    if constexpr (kGamma) v *= load(gamma + i);
    return v;
  };
  const auto h_tail = [=](int64_t i) { return kGamma ? dy[i] * gamma[i] : dy[i]; };
  const T count = static_cast<T>(n);
  const T sum_h = sum_row<T>(n, h, h_tail) / count;
  const T sum_hz = sum_row<T>(
                       n, [=](int64_t i) { return h(i) * ((load(x + i) - mean) * invstd); },
                       [=](int64_t i) { return h_tail(i) * ((x[i] - mean) * invstd); }) /
                   count;
  for (int64_t i = 0; i < n; ++i) {
    dx[i] = invstd * (h_tail(i) - sum_h - (x[i] - mean) * invstd * sum_hz);
  }
}

template <class T>
void rows_gradient(const LayerNormGradient<T>& o, RowChunk chunk) {
  const int64_t n = chunk.channels;
  for (int64_t row = 0; row < chunk.rows; ++row) {
    const T *dy = o.dy + row * n, *x = o.x + row * n;
    const T mean = o.mean[row], invstd = o.invstd[row];
    if (o.dgamma != nullptr) {
      T* __restrict sum = o.dgamma;
      for (int64_t i = 0; i < n; ++i) sum[i] += dy[i] * ((x[i] - mean) * invstd);
    }
    if (o.dbeta != nullptr) {
      T* __restrict sum = o.dbeta;
      for (int64_t i = 0; i < n; ++i) sum[i] += dy[i];
    }
    if (o.dx == nullptr) continue;
    if (o.gamma != nullptr) {
      gradient_row<true>(o.dx + row * n, dy, x, o.gamma, mean, invstd, n);
    } else {
      gradient_row<false>(o.dx + row * n, dy, x, o.gamma, mean, invstd, n);
    }
  }
}

}  // namespace

void layer_norm_rows_f32(const LayerNormRows<float>& operands, RowChunk chunk) {
  rows_forward(operands, chunk);
}
void layer_norm_rows_f64(const LayerNormRows<double>& operands, RowChunk chunk) {
  rows_forward(operands, chunk);
}
void layer_norm_gradient_f32(const LayerNormGradient<float>& operands, RowChunk chunk) {
  rows_gradient(operands, chunk);
}
void layer_norm_gradient_f64(const LayerNormGradient<double>& operands, RowChunk chunk) {
  rows_gradient(operands, chunk);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
