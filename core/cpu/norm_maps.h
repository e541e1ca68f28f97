#pragma once
// A batch norm per channel: statistics from moments, the forward's affine map, the backward's coefficients.
// Undefined gamma and beta stand for 1 and 0.

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/tensor.h"

namespace lathe::cpu {

/// mean and invstd from moments (means, then sums of squared distances from them) of `rows` rows.
template <class T>
void set_statistics(Tensor& mean, Tensor& invstd, const std::vector<double>& moments, int64_t rows,
                    double eps) {
  T *m = mean.mut<T>(), *s = invstd.mut<T>();
  const size_t c = moments.size() / 2;
  const auto count = static_cast<double>(std::max<int64_t>(1, rows));
  for (size_t j = 0; j < c; ++j) {
    m[j] = static_cast<T>(moments[j]);
    s[j] = static_cast<T>(1 / std::sqrt(moments[c + j] / count + eps));
  }
}

/// running_mean and running_var move by `momentum` towards the mean and the unbiased variance; at least two
/// rows.
template <class T>
void update_running(Tensor& running_mean, Tensor& running_var, const std::vector<double>& moments,
                    int64_t rows, double momentum) {
  T *mean = running_mean.mut<T>(), *var = running_var.mut<T>();
  const size_t c = moments.size() / 2;
  for (size_t j = 0; j < c; ++j) {
    const double unbiased = moments[c + j] / static_cast<double>(rows - 1);
    mean[j] = static_cast<T>((1 - momentum) * static_cast<double>(mean[j]) + momentum * moments[j]);
    var[j] = static_cast<T>((1 - momentum) * static_cast<double>(var[j]) + momentum * unbiased);
  }
}

/// y = (x - mean) scale + shift: scale = invstd gamma and shift = beta.
template <class T>
struct NormMap {
  std::vector<T> scale, shift;

  NormMap(const Tensor& invstd, const Tensor& gamma, const Tensor& beta)
      : scale(static_cast<size_t>(invstd.numel())), shift(scale.size()) {
    const T* s = invstd.ptr<T>();
    const T* g = gamma.defined() ? gamma.ptr<T>() : nullptr;
    const T* b = beta.defined() ? beta.ptr<T>() : nullptr;
    for (size_t j = 0; j < scale.size(); ++j) {
      scale[j] = g != nullptr ? s[j] * g[j] : s[j];
      shift[j] = b != nullptr ? b[j] : T{0};
    }
  }
};

/// dx = a g + b (x - mean) + c, from the sums over `rows` rows of g and of g (x - mean); b = c = 0 where mean
/// and invstd are constants (`training` false).
template <class T>
struct NormGradientMap {
  std::vector<T> a, b, c;

  NormGradientMap(const std::vector<double>& sums, const Tensor& invstd, const Tensor& gamma, int64_t rows,
                  bool training) {
    const auto channels = static_cast<size_t>(invstd.numel());
    a.resize(channels);
    b.assign(channels, T{0});
    c.assign(channels, T{0});
    const T* s = invstd.ptr<T>();
    const T* g = gamma.defined() ? gamma.ptr<T>() : nullptr;
    for (size_t j = 0; j < channels; ++j) {
      const double inv = static_cast<double>(s[j]);
      const double scale = g != nullptr ? inv * static_cast<double>(g[j]) : inv;
      a[j] = static_cast<T>(scale);
      if (!training) continue;
      b[j] = static_cast<T>(-scale * inv * inv * sums[channels + j] / static_cast<double>(rows));
      c[j] = static_cast<T>(-scale * sums[j] / static_cast<double>(rows));
    }
  }
};

/// Gradients of gamma and beta, where defined, from the same sums.
template <class T>
void set_norm_gradients(Tensor& dgamma, Tensor& dbeta, const std::vector<double>& sums,
                        const Tensor& invstd) {
  const auto c = static_cast<size_t>(invstd.numel());
  const T* s = invstd.ptr<T>();
  if (dgamma.defined()) {
    T* out = dgamma.mut<T>();
    for (size_t j = 0; j < c; ++j) out[j] = static_cast<T>(sums[c + j] * static_cast<double>(s[j]));
  }
  if (dbeta.defined()) {
    T* out = dbeta.mut<T>();
    for (size_t j = 0; j < c; ++j) out[j] = static_cast<T>(sums[j]);
  }
}

}  // namespace lathe::cpu
