// Layer norm and group norm.

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cpu/by_type.h"
#include "core/cpu/isa_layer_norm.h"
#include "core/cpu/norm_parts.h"
#include "core/kernels/norm.h"
#include "core/parallel.h"

namespace lathe::kernels::cpu {
namespace {

using lathe::cpu::AffineRows;
using lathe::cpu::by_type;
using lathe::cpu::chunk_rows;
using lathe::cpu::GradientRows;
using lathe::cpu::LayerNormGradient;
using lathe::cpu::LayerNormRows;
using lathe::cpu::RowChunk;

template <class T>
const T* ptr_or_null(const Tensor& t) {
  return t.defined() ? t.ptr<T>() : nullptr;
}

/// to (C) = sum over the rows of `parts`, in order, in double.
template <class T>
void add_parts(Tensor& to, const std::vector<T>& parts) {
  T* out = to.mut<T>();
  const auto channels = static_cast<size_t>(to.numel());
  for (size_t j = 0; j < channels; ++j) {
    double sum = 0;
    for (size_t at = j; at < parts.size(); at += channels) sum += static_cast<double>(parts[at]);
    out[j] = static_cast<T>(sum);
  }
}

// One sample of group norm: P positions of C channels in `groups` groups.
struct GroupGeometry {
  int64_t samples, positions, channels, groups, width;

  GroupGeometry(const Tensor& x, const Tensor& mean)
      : samples(x.dim(0)), channels(x.dim(-1)), groups(mean.dim(1)), width(channels / groups) {
    positions = x.numel() == 0 ? 0 : x.numel() / samples / channels;
  }
  RowChunk sample() const { return {positions, channels}; }
  int64_t sample_size() const { return positions * channels; }
  double count() const { return static_cast<double>(positions * width); }
};

template <class T>
void group_forward(T* y, T* mean, T* invstd, const T* x, const T* gamma, const T* beta,
                   const GroupGeometry& geometry, double eps) {
  const auto c = static_cast<size_t>(geometry.channels);
  std::vector<double> moments(2 * c);
  by_type<T>(lathe::cpu::channel_moments_f32, lathe::cpu::channel_moments_f64)(moments.data(), &moments[c], x,
                                                                               geometry.sample());
  std::vector<T> map(3 * c);
  for (int64_t group = 0; group < geometry.groups; ++group) {
    const auto lo = static_cast<size_t>(group * geometry.width),
               hi = lo + static_cast<size_t>(geometry.width);
    double sum = 0, m2 = 0;
    for (size_t j = lo; j < hi; ++j) sum += moments[j];
    const double centre = sum / static_cast<double>(geometry.width);
    for (size_t j = lo; j < hi; ++j) {
      const double delta = moments[j] - centre;
      m2 += moments[c + j] + delta * delta * static_cast<double>(geometry.positions);
    }
    mean[group] = static_cast<T>(centre);
    invstd[group] = static_cast<T>(1 / std::sqrt(m2 / geometry.count() + eps));
    for (size_t j = lo; j < hi; ++j) {
      map[j] = mean[group];
      map[c + j] = gamma != nullptr ? invstd[group] * gamma[j] : invstd[group];
      map[2 * c + j] = beta != nullptr ? beta[j] : T{0};
    }
  }
  by_type<T>(lathe::cpu::affine_rows_f32, lathe::cpu::affine_rows_f64)(
      AffineRows<T>{y, x, nullptr, map.data(), &map[c], &map[2 * c], false}, geometry.sample());
}

/// Fills dx of one sample, and its contributions to dgamma and dbeta (C each).
template <class T>
void group_backward(T* dx, T* dgamma, T* dbeta, const T* dy, const T* x, const T* mean, const T* invstd,
                    const T* gamma, const GroupGeometry& geometry) {
  const auto c = static_cast<size_t>(geometry.channels);
  const auto width = static_cast<size_t>(geometry.width);
  std::vector<T> map(4 * c);  // mean, a, b, c of GradientRows
  for (size_t j = 0; j < c; ++j) map[j] = mean[j / width];
  GradientRows<T> o;
  o.dy = dy;
  o.x = x;
  o.mean = map.data();
  std::vector<double> sums(2 * c);
  by_type<T>(lathe::cpu::gradient_sums_f32, lathe::cpu::gradient_sums_f64)(sums.data(), &sums[c], o,
                                                                           geometry.sample());
  for (size_t group = 0; group < c / width; ++group) {
    const double inv = static_cast<double>(invstd[group]);
    double sum_h = 0, sum_hx = 0;  // of h = dy gamma, and of h (x - mean)
    for (size_t j = group * width; j < (group + 1) * width; ++j) {
      const double scale = gamma != nullptr ? static_cast<double>(gamma[j]) : 1;
      sum_h += scale * sums[j];
      sum_hx += scale * sums[c + j];
      dgamma[j] = static_cast<T>(sums[c + j] * inv);
      dbeta[j] = static_cast<T>(sums[j]);
      map[c + j] = static_cast<T>(inv * scale);
    }
    for (size_t j = group * width; j < (group + 1) * width; ++j) {
      map[2 * c + j] = static_cast<T>(-inv * inv * inv * sum_hx / geometry.count());
      map[3 * c + j] = static_cast<T>(-inv * sum_h / geometry.count());
    }
  }
  if (dx == nullptr) return;
  o.dx = dx;
  o.a = &map[c];
  o.b = &map[2 * c];
  o.c = &map[3 * c];
  by_type<T>(lathe::cpu::gradient_rows_f32, lathe::cpu::gradient_rows_f64)(o, geometry.sample());
}

}  // namespace

void layer_norm_forward(Tensor& y, Tensor& mean, Tensor& invstd, const Tensor& x, const Tensor& gamma,
                        const Tensor& beta, double eps) {
  const RowChunk all{mean.numel(), x.dim(-1)};
  dispatch_floating(x.dtype(), "layer_norm", [&]<class T>() {
    const LayerNormRows<T> o{y.mut<T>(), mean.mut<T>(),         invstd.mut<T>(),
                             x.ptr<T>(), ptr_or_null<T>(gamma), ptr_or_null<T>(beta),
                             eps};
    parallel_for(all.rows, chunk_rows(all), [&](int64_t lo, int64_t hi) {
      LayerNormRows<T> chunk = o;
      chunk.y += lo * all.channels;
      chunk.x += lo * all.channels;
      chunk.mean += lo;
      chunk.invstd += lo;
      by_type<T>(lathe::cpu::layer_norm_rows_f32, lathe::cpu::layer_norm_rows_f64)(chunk,
                                                                                   {hi - lo, all.channels});
    });
  });
}

void layer_norm_backward(Tensor& dx, Tensor& dgamma, Tensor& dbeta, const Tensor& dy, const Tensor& x,
                         const Tensor& mean, const Tensor& invstd, const Tensor& gamma) {
  const RowChunk all{mean.numel(), x.dim(-1)};
  dispatch_floating(x.dtype(), "layer_norm", [&]<class T>() {
    const int64_t rows = chunk_rows(all);
    const auto part_size = static_cast<size_t>(chunk_count(all.rows, rows) * all.channels);
    std::vector<T> dgamma_parts(dgamma.defined() ? part_size : 0),
        dbeta_parts(dbeta.defined() ? part_size : 0);
    LayerNormGradient<T> o;
    o.dx = dx.defined() ? dx.mut<T>() : nullptr;
    o.dy = dy.ptr<T>();
    o.x = x.ptr<T>();
    o.gamma = ptr_or_null<T>(gamma);
    const T *means = mean.ptr<T>(), *invstds = invstd.ptr<T>();
    parallel_for(all.rows, rows, [&](int64_t lo, int64_t hi) {
      LayerNormGradient<T> chunk = o;
      const int64_t part = lo / rows * all.channels;
      if (o.dx != nullptr) chunk.dx += lo * all.channels;
      if (dgamma.defined()) chunk.dgamma = dgamma_parts.data() + part;
      if (dbeta.defined()) chunk.dbeta = dbeta_parts.data() + part;
      chunk.dy += lo * all.channels;
      chunk.x += lo * all.channels;
      chunk.mean = means + lo;
      chunk.invstd = invstds + lo;
      by_type<T>(lathe::cpu::layer_norm_gradient_f32, lathe::cpu::layer_norm_gradient_f64)(
          chunk, {hi - lo, all.channels});
    });
    if (dgamma.defined()) add_parts(dgamma, dgamma_parts);
    if (dbeta.defined()) add_parts(dbeta, dbeta_parts);
  });
}

void group_norm_forward(Tensor& y, Tensor& mean, Tensor& invstd, const Tensor& x, const Tensor& gamma,
                        const Tensor& beta, double eps) {
  const GroupGeometry geometry(x, mean);
  if (x.numel() == 0) return;
  dispatch_floating(x.dtype(), "group_norm", [&]<class T>() {
    T *out = y.mut<T>(), *means = mean.mut<T>(), *invstds = invstd.mut<T>();
    const T *in = x.ptr<T>(), *scale = ptr_or_null<T>(gamma), *shift = ptr_or_null<T>(beta);
    parallel_for(geometry.samples, 1, [&](int64_t n, int64_t) {
      const int64_t at = n * geometry.sample_size(), set = n * geometry.groups;
      group_forward(out + at, means + set, invstds + set, in + at, scale, shift, geometry, eps);
    });
  });
}

void group_norm_backward(Tensor& dx, Tensor& dgamma, Tensor& dbeta, const Tensor& dy, const Tensor& x,
                         const Tensor& mean, const Tensor& invstd, const Tensor& gamma) {
  const GroupGeometry geometry(x, mean);
  dispatch_floating(x.dtype(), "group_norm", [&]<class T>() {
    const auto part_size = static_cast<size_t>(x.numel() == 0 ? 0 : geometry.samples * geometry.channels);
    std::vector<T> dgamma_parts(part_size), dbeta_parts(part_size);
    T* out = dx.defined() ? dx.mut<T>() : nullptr;
    const T *g = dy.ptr<T>(), *in = x.ptr<T>(), *scale = ptr_or_null<T>(gamma);
    const T *means = mean.ptr<T>(), *invstds = invstd.ptr<T>();
    parallel_for(x.numel() == 0 ? 0 : geometry.samples, 1, [&](int64_t n, int64_t) {
      const int64_t at = n * geometry.sample_size(), set = n * geometry.groups;
      group_backward(out != nullptr ? out + at : nullptr, dgamma_parts.data() + n * geometry.channels,
                     dbeta_parts.data() + n * geometry.channels, g + at, in + at, means + set, invstds + set,
                     scale, geometry);
    });
    if (dgamma.defined()) add_parts(dgamma, dgamma_parts);
    if (dbeta.defined()) add_parts(dbeta, dbeta_parts);
  });
}

}  // namespace lathe::kernels::cpu
