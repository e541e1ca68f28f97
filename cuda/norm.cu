// Batch norm: two launches each way in training (partial sums; a pass over the elements whose blocks first
// add up the partial sums of their own channels), one in evaluation.

#include "core/kernels/norm.h"
#include "cuda/channel_sums.cuh"
#include "cuda/dispatch.h"
#include "cuda/norm_rows.cuh"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

int64_t rows_of(const Tensor& x) {
  return x.dim(-1) == 0 ? 0 : x.numel() / x.dim(-1);
}

Tensor partial_sums(const ChannelGrid& grid) {
  return Tensor::empty({grid.partial_size()}, DType::F64, current_device());
}

/// Statistics of the block's tile of channels from partial sums of MomentTerm; the first chunk's block writes
/// them.
template <class T>
struct BatchStatistics {
  using P = NormParameter<T>;
  const double* partial;
  const T* x;
  P *mean, *invstd, *running_mean, *running_var;
  const P *gamma, *beta;
  double momentum, eps;

  __device__ void prepare(AffineTile<P>& tile, const ChannelGrid& grid) const {
    __shared__ double total[2][kMostTile];
    total_of_chunks(total, partial, grid);
    const int64_t c = grid.first_channel() + threadIdx.x;
    if (static_cast<int>(threadIdx.x) >= grid.tile || c >= grid.channels) return;
    double centre = 0, m2 = 0;
    const double rows = static_cast<double>(grid.rows);
    if (grid.rows > 0) {
      const double shift = total[0][threadIdx.x] / rows;
      centre = static_cast<double>(x[c]) + shift;
      m2 = total[1][threadIdx.x] - shift * total[0][threadIdx.x];
      if (m2 < 0) m2 = 0;  // NaN stays
    }
    const P m = static_cast<P>(centre), s = static_cast<P>(1 / sqrt(m2 / (grid.rows > 0 ? rows : 1) + eps));
    tile.set(threadIdx.x, m, s, gamma, beta, c);
    if (grid.chunk_index() != 0) return;
    mean[c] = m;
    invstd[c] = s;
    if (running_mean == nullptr || grid.rows < 2) return;
    running_mean[c] =
        static_cast<P>((1 - momentum) * static_cast<double>(running_mean[c]) + momentum * centre);
    running_var[c] =
        static_cast<P>((1 - momentum) * static_cast<double>(running_var[c]) + momentum * (m2 / (rows - 1)));
  }
};

template <class T>
struct BatchGradient {
  using P = NormParameter<T>;
  const double* partial;  // of GradientTerm; null: neither statistics nor parameters want the sums
  const P *mean, *invstd, *gamma;
  P *dgamma, *dbeta;
  bool training;

  __device__ void prepare(GradientTile<P>& tile, const ChannelGrid& grid) const {
    __shared__ double total[2][kMostTile];
    if (partial != nullptr) total_of_chunks(total, partial, grid);
    const int64_t c = grid.first_channel() + threadIdx.x;
    if (static_cast<int>(threadIdx.x) >= grid.tile || c >= grid.channels) return;
    const double inv = static_cast<double>(invstd[c]);
    const double scale = gamma != nullptr ? inv * static_cast<double>(gamma[c]) : inv;
    double b = 0, shift = 0;
    if (training && partial != nullptr) {
      const double rows = static_cast<double>(grid.rows);
      b = -scale * inv * inv * total[1][threadIdx.x] / rows;
      shift = -scale * total[0][threadIdx.x] / rows;
    }
    tile.set(threadIdx.x, mean[c], scale, b, shift);
    if (grid.chunk_index() != 0) return;
    if (dgamma != nullptr) dgamma[c] = static_cast<P>(total[1][threadIdx.x] * inv);
    if (dbeta != nullptr) dbeta[c] = static_cast<P>(total[0][threadIdx.x]);
  }
};

template <class T>
struct GivenStatistics {
  using P = NormParameter<T>;
  const P *mean, *invstd, *gamma, *beta;

  __device__ void prepare(AffineTile<P>& tile, const ChannelGrid& grid) const {
    const int64_t c = grid.first_channel() + threadIdx.x;
    if (static_cast<int>(threadIdx.x) >= grid.tile || c >= grid.channels) return;
    tile.set(threadIdx.x, mean[c], invstd[c], gamma, beta, c);
  }
};

template <class P>
__global__ void inverse_roots(P* invstd, const P* var, int64_t n, double eps) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) {
    invstd[i] = static_cast<P>(1 / sqrt(static_cast<double>(var[i]) + eps));
  }
}

}  // namespace

void batch_norm_training(Tensor& y, Tensor& mean, Tensor& invstd, Tensor& running_mean, Tensor& running_var,
                         const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& residual,
                         const BatchNormTraining& options) {
  if (x.dim(-1) == 0) return;
  dispatch_arithmetic(x.dtype(), "batch_norm", [&]<class T>() {
    using P = NormParameter<T>;
    const AffineRows<T> rows{y.mut<T>(), x.ptr<T>(), optional_ptr<T>(residual), options.relu};
    with_lanes<T>(rows.wide(x.dim(-1)), [&]<int V>() {
      const ChannelGrid grid(1, rows_of(x), x.dim(-1), V);
      Tensor scratch = partial_sums(grid);
      double* partial = scratch.mut<double>();
      launch(channel_sums<V, MomentTerm<T>>, grid.shape(), MomentTerm<T>{rows.x, 0}, grid, partial);
      const BatchStatistics<T> statistics{partial,
                                          rows.x,
                                          mean.mut<P>(),
                                          invstd.mut<P>(),
                                          optional_mut<P>(running_mean),
                                          optional_mut<P>(running_var),
                                          optional_ptr<P>(gamma),
                                          optional_ptr<P>(beta),
                                          options.momentum,
                                          options.eps};
      launch(affine_rows<T, V, BatchStatistics<T>>, grid.shape(), rows, statistics, grid);
    });
  });
}

void batch_norm_apply(Tensor& y, const Tensor& x, const Tensor& mean, const Tensor& invstd,
                      const Tensor& gamma, const Tensor& beta, const Tensor& residual, bool relu) {
  dispatch_arithmetic(x.dtype(), "batch_norm", [&]<class T>() {
    using P = NormParameter<T>;
    const AffineRows<T> rows{y.mut<T>(), x.ptr<T>(), optional_ptr<T>(residual), relu};
    const GivenStatistics<T> statistics{mean.ptr<P>(), invstd.ptr<P>(), optional_ptr<P>(gamma),
                                        optional_ptr<P>(beta)};
    if (x.numel() == 0) return;
    with_lanes<T>(rows.wide(x.dim(-1)), [&]<int V>() {
      const ChannelGrid grid(1, rows_of(x), x.dim(-1), V);
      launch(affine_rows<T, V, GivenStatistics<T>>, grid.shape(), rows, statistics, grid);
    });
  });
}

void batch_norm_backward(Tensor& dx, Tensor& dgamma, Tensor& dbeta, Tensor& dresidual, const Tensor& dy,
                         const Tensor& x, const Tensor& y, const Tensor& mean, const Tensor& invstd,
                         const Tensor& gamma, const BatchNormGradient& options) {
  if (x.dim(-1) == 0) return;
  dispatch_arithmetic(x.dtype(), "batch_norm", [&]<class T>() {
    using P = NormParameter<T>;
    const GradientRows<T> rows{optional_mut<T>(dx), optional_mut<T>(dresidual), dy.ptr<T>(), x.ptr<T>(),
                               options.relu ? y.ptr<T>() : nullptr};
    const bool sums = dgamma.defined() || dbeta.defined() || (dx.defined() && options.training);
    if (!sums && rows.dx == nullptr && rows.dresidual == nullptr) return;
    with_lanes<T>(rows.wide(x.dim(-1)), [&]<int V>() {
      const ChannelGrid grid(1, rows_of(x), x.dim(-1), V);
      BatchGradient<T> gradient{nullptr,
                                mean.ptr<P>(),
                                invstd.ptr<P>(),
                                optional_ptr<P>(gamma),
                                optional_mut<P>(dgamma),
                                optional_mut<P>(dbeta),
                                options.training};
      Tensor scratch = sums ? partial_sums(grid) : Tensor();
      if (sums) {
        double* partial = scratch.mut<double>();
        launch(channel_sums<V, GradientTerm<T>>, grid.shape(),
               GradientTerm<T>{rows.dy, rows.x, rows.y, gradient.mean, grid.channels, 1}, grid, partial);
        gradient.partial = partial;
      }
      launch(gradient_rows<T, V, BatchGradient<T>>, grid.shape(), rows, gradient, grid);
    });
  });
}

void inverse_std(Tensor& invstd, const Tensor& var, double eps) {
  dispatch_floating(var.dtype(), "batch_norm", [&]<class P>() {
    launch(inverse_roots<P>, over(var.numel()), invstd.mut<P>(), var.ptr<P>(), var.numel(), eps);
  });
}

}  // namespace lathe::kernels::cuda
