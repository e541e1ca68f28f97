#include "core/kernels/norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cpu/by_type.h"
#include "core/cpu/isa_norm.h"
#include "core/cpu/norm_parts.h"
#include "core/parallel.h"

namespace lathe::kernels::cpu {
namespace {

using lathe::cpu::AffineRows;
using lathe::cpu::by_type;
using lathe::cpu::ChannelParts;
using lathe::cpu::chunk_rows;
using lathe::cpu::combine_moments;
using lathe::cpu::GradientRows;
using lathe::cpu::RowChunk;

/// Mean and M2 of all chunks of x, combined in order (Chan et al. 1979): row 0 holds means, row 1 M2.
template <class T>
std::vector<double> moments(const T* x, RowChunk all) {
  const ChannelParts parts(all, 2);
  Tensor scratch = parts.scratch();
  double* part = scratch.mut<double>();
  parallel_for(all.rows, parts.rows, [&](int64_t lo, int64_t hi) {
    double* mean = parts.at(part, lo);
    by_type<T>(lathe::cpu::channel_moments_f32, lathe::cpu::channel_moments_f64)(
        mean, mean + all.channels, x + lo * all.channels, {hi - lo, all.channels});
  });
  std::vector<double> result(part, part + parts.size);
  for (int64_t lo = parts.rows; lo < all.rows; lo += parts.rows) {
    combine_moments(result.data(), lo, parts.at(part, lo), std::min(parts.rows, all.rows - lo), all.channels);
  }
  return result;
}

/// Per channel: scale = invstd gamma and shift = beta, in T.
template <class T>
struct Affine {
  std::vector<T> scale, shift;

  Affine(const Tensor& invstd, const Tensor& gamma, const Tensor& beta)
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

RowChunk rows_of(const Tensor& x) {
  const int64_t c = x.dim(-1);
  return {c == 0 ? 0 : x.numel() / c, c};
}

template <class T>
void update_running(Tensor& running_mean, Tensor& running_var, const std::vector<double>& stats, RowChunk all,
                    double momentum) {
  T *mean = running_mean.mut<T>(), *var = running_var.mut<T>();
  const auto c = static_cast<size_t>(all.channels);
  for (size_t j = 0; j < c; ++j) {
    const double unbiased = stats[c + j] / static_cast<double>(all.rows - 1);
    mean[j] = static_cast<T>((1 - momentum) * static_cast<double>(mean[j]) + momentum * stats[j]);
    var[j] = static_cast<T>((1 - momentum) * static_cast<double>(var[j]) + momentum * unbiased);
  }
}

/// Sums over all chunks in order: row 0 of g, row 1 of g (x - mean).
template <class T>
std::vector<double> gradient_sums(const GradientRows<T>& o, RowChunk all) {
  const ChannelParts parts(all, 2);
  Tensor scratch = parts.scratch();
  double* part = scratch.mut<double>();
  parallel_for(all.rows, parts.rows, [&](int64_t lo, int64_t hi) {
    const int64_t at = lo * all.channels;
    GradientRows<T> chunk = o;
    chunk.dy += at;
    chunk.x += at;
    if (o.y != nullptr) chunk.y += at;
    double* sum = parts.at(part, lo);
    by_type<T>(lathe::cpu::gradient_sums_f32, lathe::cpu::gradient_sums_f64)(sum, sum + all.channels, chunk,
                                                                             {hi - lo, all.channels});
  });
  return parts.total(part);
}

template <class T>
void all_gradient_rows(const GradientRows<T>& o, RowChunk all) {
  parallel_for(all.rows, chunk_rows(all), [&](int64_t lo, int64_t hi) {
    const int64_t at = lo * all.channels;
    GradientRows<T> chunk = o;
    chunk.dy += at;
    chunk.x += at;
    if (o.y != nullptr) chunk.y += at;
    if (o.dx != nullptr) chunk.dx += at;
    if (o.dresidual != nullptr) chunk.dresidual += at;
    by_type<T>(lathe::cpu::gradient_rows_f32, lathe::cpu::gradient_rows_f64)(chunk, {hi - lo, all.channels});
  });
}

/// Coefficients of dx = a g + b (x - mean) + c.
template <class T>
struct GradientMap {
  std::vector<T> a, b, c;

  GradientMap(const std::vector<double>& sums, const Tensor& invstd, const Tensor& gamma, RowChunk all,
              bool training) {
    const auto channels = static_cast<size_t>(all.channels);
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
      b[j] = static_cast<T>(-scale * inv * inv * sums[channels + j] / static_cast<double>(all.rows));
      c[j] = static_cast<T>(-scale * sums[j] / static_cast<double>(all.rows));
    }
  }
};

}  // namespace

void batch_norm_training(Tensor& y, Tensor& mean, Tensor& invstd, Tensor& running_mean, Tensor& running_var,
                         const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& residual,
                         const BatchNormTraining& options) {
  const RowChunk all = rows_of(x);
  if (all.channels == 0) return;
  dispatch_floating(x.dtype(), "batch_norm", [&]<class T>() {
    const std::vector<double> stats = moments(x.ptr<T>(), all);
    T *m = mean.mut<T>(), *s = invstd.mut<T>();
    const auto c = static_cast<size_t>(all.channels);
    const auto count = static_cast<double>(std::max<int64_t>(1, all.rows));
    for (size_t j = 0; j < c; ++j) {
      m[j] = static_cast<T>(stats[j]);
      s[j] = static_cast<T>(1 / std::sqrt(stats[c + j] / count + options.eps));
    }
    if (running_mean.defined() && all.rows > 1) {
      update_running<T>(running_mean, running_var, stats, all, options.momentum);
    }
  });
  batch_norm_apply(y, x, mean, invstd, gamma, beta, residual, options.relu);
}

void batch_norm_apply(Tensor& y, const Tensor& x, const Tensor& mean, const Tensor& invstd,
                      const Tensor& gamma, const Tensor& beta, const Tensor& residual, bool relu) {
  const RowChunk all = rows_of(x);
  dispatch_floating(x.dtype(), "batch_norm", [&]<class T>() {
    const Affine<T> map(invstd, gamma, beta);
    const AffineRows<T> o{y.mut<T>(),    x.ptr<T>(),       residual.defined() ? residual.ptr<T>() : nullptr,
                          mean.ptr<T>(), map.scale.data(), map.shift.data(),
                          relu};
    parallel_for(all.rows, chunk_rows(all), [&](int64_t lo, int64_t hi) {
      const int64_t at = lo * all.channels;
      AffineRows<T> chunk = o;
      chunk.y += at;
      chunk.x += at;
      if (o.residual != nullptr) chunk.residual += at;
      by_type<T>(lathe::cpu::affine_rows_f32, lathe::cpu::affine_rows_f64)(chunk, {hi - lo, all.channels});
    });
  });
}

void batch_norm_backward(Tensor& dx, Tensor& dgamma, Tensor& dbeta, Tensor& dresidual, const Tensor& dy,
                         const Tensor& x, const Tensor& y, const Tensor& mean, const Tensor& invstd,
                         const Tensor& gamma, const BatchNormGradient& options) {
  const RowChunk all = rows_of(x);
  dispatch_floating(x.dtype(), "batch_norm", [&]<class T>() {
    GradientRows<T> o;
    o.dy = dy.ptr<T>();
    o.x = x.ptr<T>();
    o.y = options.relu ? y.ptr<T>() : nullptr;
    o.mean = mean.ptr<T>();
    std::vector<double> sums(2 * static_cast<size_t>(all.channels));
    if (dgamma.defined() || dbeta.defined() || (dx.defined() && options.training)) {
      sums = gradient_sums(o, all);
    }
    const T* s = invstd.ptr<T>();
    const auto c = static_cast<size_t>(all.channels);
    if (dgamma.defined()) {
      T* out = dgamma.mut<T>();
      for (size_t j = 0; j < c; ++j) out[j] = static_cast<T>(sums[c + j] * static_cast<double>(s[j]));
    }
    if (dbeta.defined()) {
      T* out = dbeta.mut<T>();
      for (size_t j = 0; j < c; ++j) out[j] = static_cast<T>(sums[j]);
    }
    const GradientMap<T> map(sums, invstd, gamma, all, options.training);
    o.a = map.a.data();
    o.b = map.b.data();
    o.c = map.c.data();
    if (dx.defined()) o.dx = dx.mut<T>();
    if (dresidual.defined()) o.dresidual = dresidual.mut<T>();
    if (o.dx != nullptr || o.dresidual != nullptr) all_gradient_rows(o, all);
  });
}

void inverse_std(Tensor& invstd, const Tensor& var, double eps) {
  dispatch_floating(var.dtype(), "batch_norm", [&]<class T>() {
    const T* in = var.ptr<T>();
    T* out = invstd.mut<T>();
    for (int64_t j = 0; j < var.numel(); ++j) {
      out[j] = static_cast<T>(1 / std::sqrt(static_cast<double>(in[j]) + eps));
    }
  });
}

}  // namespace lathe::kernels::cpu
