#include "core/cpu/isa/vec.h"
#include "core/cpu/isa_attention.h"

namespace lathe::cpu::LATHE_ISA_NAMESPACE {
namespace {

/// Keys that row i of the block sees.
template <class T>
int64_t seen(const ScoreBlock<T>& block, int64_t row) {
  const int64_t limit = block.first_limit + row;
  return limit < 0 ? 0 : limit < block.columns ? limit : block.columns;
}

/// scale score + bias + mask; lanes past `count` are -inf.
template <class T>
inline Vec<T> masked_score(const T* scores, int64_t i, int64_t count, const T* bias,
                           const ScoreBlock<T>& block) {
  Vec<T> s = load_up_to(scores + i, count, kMinusInf<T>) * block.scale;
  if (bias != nullptr) s += load_up_to(bias + i, count, T{0});
  if (block.mask != nullptr) s += load_up_to(block.mask + i, count, T{0});
  return s;
}

template <class T>
T softmax_row(T* scores, int64_t n, const T* bias, const ScoreBlock<T>& block) {
  Vec<T> best = splat(kMinusInf<T>);
  for_each_vec<T>(n, [&](int64_t i, int64_t count) {
    const Vec<T> s = masked_score(scores, i, count, bias, block);
    best = max_of<T>(best, s);
    store_up_to<T>(scores + i, s, count);
  });
  const T shift = max_lanes<T>(best);
  if (shift == kMinusInf<T>) {
    for (int64_t i = 0; i < n; ++i) scores[i] = 0;
    return -kMinusInf<T>;
  }
  Vec<T> sum = splat(T{0});
  for_each_vec<T>(n, [&](int64_t i, int64_t count) {
    const Vec<T> e = exp_lanes(load_up_to(scores + i, count, kMinusInf<T>) - shift);
    sum += e;
    store_up_to<T>(scores + i, e, count);
  });
  const T total = sum_lanes<T>(sum), share = 1 / total;
  for (int64_t i = 0; i < n; ++i) scores[i] *= share;
  return shift + log_of(total);
}

template <class T>
void softmax(T* scores, T* lse, const ScoreBlock<T>& block) {
  for (int64_t row = 0; row < block.rows; ++row, scores += block.columns) {
    const int64_t n = seen(block, row);
    const T* bias = block.bias != nullptr ? block.bias + row * block.bias_stride : nullptr;
    lse[row] = softmax_row(scores, n, bias, block);
    for (int64_t i = n; i < block.columns; ++i) scores[i] = 0;
  }
}

template <class T>
void probabilities(T* scores, const T* lse, const ScoreBlock<T>& block) {
  for (int64_t row = 0; row < block.rows; ++row, scores += block.columns) {
    const int64_t n = seen(block, row);
    const T* bias = block.bias != nullptr ? block.bias + row * block.bias_stride : nullptr;
    for_each_vec<T>(n, [&](int64_t i, int64_t count) {
      store_up_to<T>(scores + i, exp_lanes(masked_score(scores, i, count, bias, block) - lse[row]), count);
    });
    for (int64_t i = n; i < block.columns; ++i) scores[i] = 0;
  }
}

template <class T>
void score_gradient(T* __restrict g, T* __restrict dbias, const T* p, const T* delta,
                    const ScoreBlock<T>& block) {
  const T scale = block.scale;
  for (int64_t row = 0; row < block.rows; ++row, g += block.columns, p += block.columns) {
    const T d = delta[row];
    if (dbias == nullptr) {
      for (int64_t i = 0; i < block.columns; ++i) g[i] = p[i] * (g[i] - d) * scale;
      continue;
    }
    T* __restrict sum = dbias + row * block.bias_stride;
    for (int64_t i = 0; i < block.columns; ++i) {
      const T h = p[i] * (g[i] - d);
      sum[i] += h;
      g[i] = h * scale;
    }
  }
}

template <class T>
T dot(const T* a, const T* b, int64_t n) {
  Vec<T> sum = splat(T{0});
  for_each_vec<T>(n, [&](int64_t i, int64_t count) {
    sum += load_up_to(a + i, count, T{0}) * load_up_to(b + i, count, T{0});
  });
  return sum_lanes<T>(sum);
}

}  // namespace

void attention_softmax_f32(float* scores, float* lse, const ScoreBlock<float>& block) {
  softmax(scores, lse, block);
}
void attention_softmax_f64(double* scores, double* lse, const ScoreBlock<double>& block) {
  softmax(scores, lse, block);
}
void attention_probabilities_f32(float* scores, const float* lse, const ScoreBlock<float>& block) {
  probabilities(scores, lse, block);
}
void attention_probabilities_f64(double* scores, const double* lse, const ScoreBlock<double>& block) {
  probabilities(scores, lse, block);
}
void attention_score_gradient_f32(float* g, float* dbias, const float* p, const float* delta,
                                  const ScoreBlock<float>& block) {
  score_gradient(g, dbias, p, delta, block);
}
void attention_score_gradient_f64(double* g, double* dbias, const double* p, const double* delta,
                                  const ScoreBlock<double>& block) {
  score_gradient(g, dbias, p, delta, block);
}
float dot_f32(const float* a, const float* b, int64_t n) {
  return dot(a, b, n);
}
double dot_f64(const double* a, const double* b, int64_t n) {
  return dot(a, b, n);
}

}  // namespace lathe::cpu::LATHE_ISA_NAMESPACE
