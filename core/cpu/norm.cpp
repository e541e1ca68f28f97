#include "core/kernels/norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cpu/by_type.h"
#include "core/cpu/norm_maps.h"
#include "core/cpu/norm_parts.h"
#include "core/parallel.h"

namespace lathe::cpu {
namespace {

template <class T>
void advance(T*& p, int64_t elements) {
  if (p != nullptr) p += elements;
}

// The operands of rows that begin `elements` further on.
template <class T>
GradientRows<T> from(GradientRows<T> o, int64_t elements) {
  for (const T** p : {&o.dy, &o.x, &o.y}) advance(*p, elements);
  for (T** p : {&o.dx, &o.dresidual}) advance(*p, elements);
  return o;
}
template <class T>
AffineRows<T> from(AffineRows<T> o, int64_t elements) {
  advance(o.y, elements);
  for (const T** p : {&o.x, &o.residual}) advance(*p, elements);
  return o;
}

}  // namespace

template <class T>
std::vector<double> moments_of(const T* x, RowChunk all) {
  const ChannelParts parts(all, 2);
  Tensor scratch = parts.scratch();
  double* part = scratch.mut<double>();
  parallel_for(all.rows, parts.rows, [&](int64_t lo, int64_t hi) {
    double* mean = parts.at(part, lo);
    by_type<T>(channel_moments_f32, channel_moments_f64)(mean, mean + all.channels, x + lo * all.channels,
                                                         {hi - lo, all.channels});
  });
  std::vector<double> result(part, part + parts.size);
  for (int64_t lo = parts.rows; lo < all.rows; lo += parts.rows) {
    combine_moments(result.data(), lo, parts.at(part, lo), std::min(parts.rows, all.rows - lo), all.channels);
  }
  return result;
}

template <class T>
std::vector<double> gradient_sums_of(const GradientRows<T>& o, RowChunk all) {
  const ChannelParts parts(all, 2);
  Tensor scratch = parts.scratch();
  double* part = scratch.mut<double>();
  parallel_for(all.rows, parts.rows, [&](int64_t lo, int64_t hi) {
    double* sum = parts.at(part, lo);
    by_type<T>(gradient_sums_f32, gradient_sums_f64)(sum, sum + all.channels, from(o, lo * all.channels),
                                                     {hi - lo, all.channels});
  });
  return parts.total(part);
}

template <class T>
void all_gradient_rows(const GradientRows<T>& o, RowChunk all) {
  parallel_for(all.rows, chunk_rows(all), [&](int64_t lo, int64_t hi) {
    by_type<T>(gradient_rows_f32, gradient_rows_f64)(from(o, lo * all.channels), {hi - lo, all.channels});
  });
}

template <class T>
void all_affine_rows(const AffineRows<T>& o, RowChunk all) {
  parallel_for(all.rows, chunk_rows(all), [&](int64_t lo, int64_t hi) {
    by_type<T>(affine_rows_f32, affine_rows_f64)(from(o, lo * all.channels), {hi - lo, all.channels});
  });
}

template std::vector<double> moments_of(const float*, RowChunk);
template std::vector<double> moments_of(const double*, RowChunk);
template std::vector<double> gradient_sums_of(const GradientRows<float>&, RowChunk);
template std::vector<double> gradient_sums_of(const GradientRows<double>&, RowChunk);
template void all_gradient_rows(const GradientRows<float>&, RowChunk);
template void all_gradient_rows(const GradientRows<double>&, RowChunk);
template void all_affine_rows(const AffineRows<float>&, RowChunk);
template void all_affine_rows(const AffineRows<double>&, RowChunk);

}  // namespace lathe::cpu

namespace lathe::kernels::cpu {
namespace {

using lathe::cpu::AffineRows;
using lathe::cpu::GradientRows;
using lathe::cpu::RowChunk;
using lathe::cpu::rows_of;

}  // namespace

void batch_norm_training(Tensor& y, Tensor& mean, Tensor& invstd, Tensor& running_mean, Tensor& running_var,
                         const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& residual,
                         const BatchNormTraining& options) {
  const RowChunk all = rows_of(x);
  if (all.channels == 0) return;
  dispatch_floating(x.dtype(), "batch_norm", [&]<class T>() {
    const std::vector<double> moments = lathe::cpu::moments_of(x.ptr<T>(), all);
    lathe::cpu::set_statistics<T>(mean, invstd, moments, all.rows, options.eps);
    if (running_mean.defined() && all.rows > 1) {
      lathe::cpu::update_running<T>(running_mean, running_var, moments, all.rows, options.momentum);
    }
  });
  batch_norm_apply(y, x, mean, invstd, gamma, beta, residual, options.relu);
}

void batch_norm_apply(Tensor& y, const Tensor& x, const Tensor& mean, const Tensor& invstd,
                      const Tensor& gamma, const Tensor& beta, const Tensor& residual, bool relu) {
  dispatch_floating(x.dtype(), "batch_norm", [&]<class T>() {
    const lathe::cpu::NormMap<T> map(invstd, gamma, beta);
    lathe::cpu::all_affine_rows<T>({y.mut<T>(), x.ptr<T>(), residual.defined() ? residual.ptr<T>() : nullptr,
                                    mean.ptr<T>(), map.scale.data(), map.shift.data(), relu},
                                   rows_of(x));
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
      sums = lathe::cpu::gradient_sums_of(o, all);
    }
    lathe::cpu::set_norm_gradients<T>(dgamma, dbeta, sums, invstd);
    const lathe::cpu::NormGradientMap<T> map(sums, invstd, gamma, all.rows, options.training);
    o.a = map.a.data();
    o.b = map.b.data();
    o.c = map.c.data();
    if (dx.defined()) o.dx = dx.mut<T>();
    if (dresidual.defined()) o.dresidual = dresidual.mut<T>();
    if (o.dx != nullptr || o.dresidual != nullptr) lathe::cpu::all_gradient_rows(o, all);
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
