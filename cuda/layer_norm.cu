// Layer norm: a warp per row, or a block for long rows; gradients of gamma and beta in two stages.
// Group norm: sums per sample and channel over chunks of positions, statistics per sample and group from
// them, and a pass over the elements.

#include "core/kernels/norm.h"
#include "cuda/channel_sums.cuh"
#include "cuda/dispatch.h"
#include "cuda/norm_rows.cuh"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

constexpr int64_t kLongRow = 4096;  // elements from which on a block works on one row

/// Threads that share a row: a warp, or the block where kWhole.
template <bool kWhole>
struct RowThreads {
  static constexpr int kThreads = kWhole ? kBlock : kWarp;

  static LaunchShape shape(int64_t rows) {
    constexpr int kRows = kBlock / kThreads;
    return block_each((rows + kRows - 1) / kRows);
  }
  static __device__ int64_t row() {
    return static_cast<int64_t>(blockIdx.x) * (kBlock / kThreads) + threadIdx.x / kThreads;
  }
  static __device__ int thread() { return threadIdx.x % kThreads; }
  static __device__ double sum(double value) {
    return kWhole ? block_reduce<Sum>(value) : warp_reduce<Sum>(value);
  }
};

template <class T>
struct LayerForward {
  using P = NormParameter<T>;
  T* y;
  P *mean, *invstd;
  const T* x;
  const P *gamma, *beta;
  int64_t rows, channels;
  double eps;
};

template <class T, int V, bool kWhole>
__global__ void layer_norm_rows(LayerForward<T> o) {
  using P = NormParameter<T>;
  using Row = RowThreads<kWhole>;
  const int64_t row = Row::row();
  if (row >= o.rows) return;  // a whole warp or block
  const T* x = o.x + row * o.channels;
  const int64_t first = Row::thread() * V, step = Row::kThreads * V;
  const double count = static_cast<double>(o.channels);
  double sum = 0;
  for (int64_t i = first; i < o.channels; i += step) {
    const auto in = Lanes<T, V>::at(x, i);
    for (int v = 0; v < V; ++v) sum += static_cast<double>(in[v]);
  }
  const double centre = Row::sum(sum) / count;
  double m2 = 0;
  for (int64_t i = first; i < o.channels; i += step) {
    const auto in = Lanes<T, V>::at(x, i);
    for (int v = 0; v < V; ++v) {
      const double d = static_cast<double>(in[v]) - centre;
      m2 += d * d;
    }
  }
  const P mean = static_cast<P>(centre), invstd = static_cast<P>(1 / sqrt(Row::sum(m2) / count + o.eps));
  if (Row::thread() == 0) {
    o.mean[row] = mean;
    o.invstd[row] = invstd;
  }
  for (int64_t i = first; i < o.channels; i += step) {
    const auto in = Lanes<T, V>::at(x, i);
    Lanes<T, V> y;
    for (int v = 0; v < V; ++v) {
      P value = (in[v] - mean) * invstd;
      if (o.gamma != nullptr) value *= o.gamma[i + v];
      if (o.beta != nullptr) value += o.beta[i + v];
      y.set(v, value);
    }
    y.to(o.y, row * o.channels + i);
  }
}

template <class T>
struct LayerBackward {
  using P = NormParameter<T>;
  T* dx;
  const T *dy, *x;
  const P *mean, *invstd, *gamma;
  int64_t rows, channels;
};

/// With h = dy gamma and z = (x - mean) invstd: dx = invstd (h - mean(h) - z mean(h z)).
template <class T, int V, bool kWhole>
__global__ void layer_norm_gradient(LayerBackward<T> o) {
  using P = NormParameter<T>;
  using Row = RowThreads<kWhole>;
  const int64_t row = Row::row();
  if (row >= o.rows) return;
  const int64_t first = Row::thread() * V, step = Row::kThreads * V, at = row * o.channels;
  const P mean = o.mean[row], invstd = o.invstd[row];
  const auto each = [&](auto use) {
    for (int64_t i = first; i < o.channels; i += step) {
      const auto g = Lanes<T, V>::at(o.dy, at + i);
      const auto in = Lanes<T, V>::at(o.x, at + i);
      P h[V], z[V];
      for (int v = 0; v < V; ++v) {
        h[v] = g[v];
        if (o.gamma != nullptr) h[v] *= o.gamma[i + v];
        z[v] = (in[v] - mean) * invstd;
      }
      use(i, h, z);
    }
  };
  double sum_h = 0, sum_hz = 0;
  each([&](int64_t, const P* h, const P* z) {
    for (int v = 0; v < V; ++v) {
      sum_h += static_cast<double>(h[v]);
      sum_hz += static_cast<double>(h[v]) * static_cast<double>(z[v]);
    }
  });
  const P mean_h = static_cast<P>(Row::sum(sum_h) / static_cast<double>(o.channels));
  const P mean_hz = static_cast<P>(Row::sum(sum_hz) / static_cast<double>(o.channels));
  each([&](int64_t i, const P* h, const P* z) {
    Lanes<T, V> dx;
    for (int v = 0; v < V; ++v) dx.set(v, invstd * (h[v] - mean_h - z[v] * mean_hz));
    dx.to(o.dx, at + i);
  });
}

/// (dy, dy (x - mean) invstd) with statistics per row.
template <class T>
struct LayerTerm {
  const T *dy, *x;
  const NormParameter<T>*mean, *invstd;

  template <int V>
  __device__ void start(int64_t, int64_t) {}
  template <int V>
  struct Operands {
    Lanes<T, V> g, x;
  };
  template <int V>
  __device__ Operands<V> load(int64_t at) const {
    return {Lanes<T, V>::at(dy, at), Lanes<T, V>::at(x, at)};
  }
  template <int V>
  __device__ void add(double (*sums)[V], const Operands<V>& in, int64_t row) const {
    const double m = static_cast<double>(mean[row]), s = static_cast<double>(invstd[row]);
    for (int v = 0; v < V; ++v) {
      const double value = static_cast<double>(in.g[v]);
      sums[0][v] += value;
      sums[1][v] += value * ((static_cast<double>(in.x[v]) - m) * s);
    }
  }
};

/// dbeta and dgamma: the totals over all chunks of one sample; a block per tile.
template <class P>
__global__ void parameter_gradients(P* dgamma, P* dbeta, const double* partial, ChannelGrid grid) {
  __shared__ double total[2][kMostTile];
  total_of_chunks(total, partial, grid);
  const int64_t c = grid.first_channel() + threadIdx.x;
  if (static_cast<int>(threadIdx.x) >= grid.tile || c >= grid.channels) return;
  if (dgamma != nullptr) dgamma[c] = static_cast<P>(total[1][threadIdx.x]);
  if (dbeta != nullptr) dbeta[c] = static_cast<P>(total[0][threadIdx.x]);
}

template <class P>
void total_gradients(Tensor& dgamma, Tensor& dbeta, const Tensor& partial, const ChannelGrid& grid) {
  launch(parameter_gradients<P>, block_each(grid.tiles, kChannelBlock), optional_mut<P>(dgamma),
         optional_mut<P>(dbeta), partial.ptr<double>(), grid);
}

/// x (samples, positions, channels) in `groups` groups of `width` channels.
struct GroupGeometry {
  int64_t samples, positions = 0, channels, groups, width;

  GroupGeometry(const Tensor& x, const Tensor& mean)
      : samples(x.dim(0)), channels(x.dim(-1)), groups(mean.dim(1)), width(channels / groups) {
    if (x.numel() != 0) positions = x.numel() / samples / channels;
  }
  /// A block per sample and group whose threads stride over the group's channels.
  LaunchShape sets() const {
    return block_each(samples * groups, static_cast<int>(std::min<int64_t>(kBlock, (width + 31) / 32 * 32)));
  }
};

/// A sample's sums of channel c, added up over the chunks.
__device__ inline double channel_total(const double* partial, const ChannelGrid& grid, int64_t sample, int k,
                                       int64_t c) {
  double sum = 0;
  for (int chunk = 0; chunk < grid.chunks; ++chunk) {
    sum += partial[((sample * grid.chunks + chunk) * 2 + k) * grid.channels + c];
  }
  return sum;
}

/// mean and invstd of sets from partial sums of MomentTerm; of_channel (samples, 2, C) is scratch.
template <class T>
__global__ void group_statistics(NormParameter<T>* mean, NormParameter<T>* invstd, double* of_channel,
                                 const double* partial, const T* x, ChannelGrid grid, GroupGeometry geometry,
                                 double eps) {
  using P = NormParameter<T>;
  const int64_t sample = blockIdx.x / geometry.groups, lo = blockIdx.x % geometry.groups * geometry.width;
  const double positions = static_cast<double>(geometry.positions);
  double *means = of_channel + sample * 2 * geometry.channels + lo, *m2s = means + geometry.channels;
  double sum = 0;
  for (int64_t j = threadIdx.x; j < geometry.width; j += blockDim.x) {
    const double distance = channel_total(partial, grid, sample, 0, lo + j), shift = distance / positions;
    const double spread = channel_total(partial, grid, sample, 1, lo + j) - shift * distance;
    means[j] = static_cast<double>(x[sample * geometry.positions * geometry.channels + lo + j]) + shift;
    m2s[j] = spread < 0 ? 0 : spread;  // NaN stays
    sum += means[j];
  }
  const double centre = block_reduce<Sum>(sum) / static_cast<double>(geometry.width);
  double m2 = 0;
  for (int64_t j = threadIdx.x; j < geometry.width; j += blockDim.x) {
    const double delta = means[j] - centre;
    m2 += m2s[j] + delta * delta * positions;
  }
  m2 = block_reduce<Sum>(m2);
  if (threadIdx.x != 0) return;
  mean[blockIdx.x] = static_cast<P>(centre);
  invstd[blockIdx.x] = static_cast<P>(1 / sqrt(m2 / (positions * static_cast<double>(geometry.width)) + eps));
}

/// Each sample's contributions to dbeta and dgamma (samples, 2, C), and for each set the coefficients b and c
/// of dx = a g + b (x - mean) + c, from partial sums of GradientTerm.
template <class P>
__global__ void group_coefficients(double* of_channel, double* of_set, const double* partial, const P* invstd,
                                   const P* gamma, ChannelGrid grid, GroupGeometry geometry) {
  const int64_t sample = blockIdx.x / geometry.groups, lo = blockIdx.x % geometry.groups * geometry.width;
  const double inv = static_cast<double>(invstd[blockIdx.x]);
  double* g = of_channel + sample * 2 * geometry.channels + lo;
  double sum_h = 0, sum_hx = 0;  // of h = dy gamma, and of h (x - mean)
  for (int64_t j = threadIdx.x; j < geometry.width; j += blockDim.x) {
    const double scale = gamma != nullptr ? static_cast<double>(gamma[lo + j]) : 1;
    const double sum_g = channel_total(partial, grid, sample, 0, lo + j);
    const double sum_gx = channel_total(partial, grid, sample, 1, lo + j);
    g[j] = sum_g;
    g[geometry.channels + j] = sum_gx * inv;
    sum_h += scale * sum_g;
    sum_hx += scale * sum_gx;
  }
  sum_h = block_reduce<Sum>(sum_h);
  sum_hx = block_reduce<Sum>(sum_hx);
  if (threadIdx.x != 0) return;
  const double count = static_cast<double>(geometry.positions * geometry.width);
  of_set[2 * blockIdx.x] = -inv * inv * inv * sum_hx / count;
  of_set[2 * blockIdx.x + 1] = -inv * sum_h / count;
}

template <class P>
struct GroupStatistics {
  const P *mean, *invstd, *gamma, *beta;
  int64_t groups, width;

  __device__ void prepare(AffineTile<P>& tile, const ChannelGrid& grid) const {
    const int64_t c = grid.first_channel() + threadIdx.x;
    if (static_cast<int>(threadIdx.x) >= grid.tile || c >= grid.channels) return;
    const int64_t set = grid.sample() * groups + c / width;
    tile.set(threadIdx.x, mean[set], invstd[set], gamma, beta, c);
  }
};

template <class P>
struct GroupGradient {
  const P *mean, *invstd, *gamma;
  const double* of_set;
  int64_t groups, width;

  __device__ void prepare(GradientTile<P>& tile, const ChannelGrid& grid) const {
    const int64_t c = grid.first_channel() + threadIdx.x;
    if (static_cast<int>(threadIdx.x) >= grid.tile || c >= grid.channels) return;
    const int64_t set = grid.sample() * groups + c / width;
    const double inv = static_cast<double>(invstd[set]);
    tile.set(threadIdx.x, mean[set], gamma != nullptr ? inv * static_cast<double>(gamma[c]) : inv,
             of_set[2 * set], of_set[2 * set + 1]);
  }
};

Tensor doubles(int64_t n) {
  return Tensor::empty({n}, DType::F64, current_device());
}

}  // namespace

void layer_norm_forward(Tensor& y, Tensor& mean, Tensor& invstd, const Tensor& x, const Tensor& gamma,
                        const Tensor& beta, double eps) {
  if (x.numel() == 0 && mean.numel() == 0) return;
  dispatch_arithmetic(x.dtype(), "layer_norm", [&]<class T>() {
    using P = NormParameter<T>;
    const LayerForward<T> o{y.mut<T>(),
                            mean.mut<P>(),
                            invstd.mut<P>(),
                            x.ptr<T>(),
                            optional_ptr<P>(gamma),
                            optional_ptr<P>(beta),
                            mean.numel(),
                            x.dim(-1),
                            eps};
    with_lanes<T>(wide_channels<T>(o.channels, o.y, o.x), [&]<int V>() {
      o.channels >= kLongRow ? launch(layer_norm_rows<T, V, true>, RowThreads<true>::shape(o.rows), o)
                             : launch(layer_norm_rows<T, V, false>, RowThreads<false>::shape(o.rows), o);
    });
  });
}

void layer_norm_backward(Tensor& dx, Tensor& dgamma, Tensor& dbeta, const Tensor& dy, const Tensor& x,
                         const Tensor& mean, const Tensor& invstd, const Tensor& gamma) {
  if (x.dim(-1) == 0) return;
  dispatch_arithmetic(x.dtype(), "layer_norm", [&]<class T>() {
    using P = NormParameter<T>;
    const LayerBackward<T> o{optional_mut<T>(dx),    dy.ptr<T>(),  x.ptr<T>(), mean.ptr<P>(), invstd.ptr<P>(),
                             optional_ptr<P>(gamma), mean.numel(), x.dim(-1)};
    with_lanes<T>(wide_channels<T>(o.channels, o.dx, o.dy, o.x), [&]<int V>() {
      if (o.dx != nullptr) {
        o.channels >= kLongRow
            ? launch(layer_norm_gradient<T, V, true>, RowThreads<true>::shape(o.rows), o)
            : launch(layer_norm_gradient<T, V, false>, RowThreads<false>::shape(o.rows), o);
      }
      if (!dgamma.defined() && !dbeta.defined()) return;
      const ChannelGrid grid(1, o.rows, o.channels, V);
      Tensor partial = doubles(grid.partial_size());
      launch(channel_sums<V, LayerTerm<T>>, grid.shape(), LayerTerm<T>{o.dy, o.x, o.mean, o.invstd}, grid,
             partial.mut<double>());
      total_gradients<P>(dgamma, dbeta, partial, grid);
    });
  });
}

void group_norm_forward(Tensor& y, Tensor& mean, Tensor& invstd, const Tensor& x, const Tensor& gamma,
                        const Tensor& beta, double eps) {
  if (x.numel() == 0) return;
  const GroupGeometry geometry(x, mean);
  dispatch_arithmetic(x.dtype(), "group_norm", [&]<class T>() {
    using P = NormParameter<T>;
    const AffineRows<T> rows{y.mut<T>(), x.ptr<T>(), nullptr, false};
    with_lanes<T>(rows.wide(geometry.channels), [&]<int V>() {
      const ChannelGrid grid(geometry.samples, geometry.positions, geometry.channels, V);
      Tensor partial = doubles(grid.partial_size()), of_channel = doubles(grid.samples * 2 * grid.channels);
      launch(channel_sums<V, MomentTerm<T>>, grid.shape(), MomentTerm<T>{rows.x, grid.rows * grid.channels},
             grid, partial.mut<double>());
      const GroupStatistics<P> statistics{mean.mut<P>(),         invstd.mut<P>(), optional_ptr<P>(gamma),
                                          optional_ptr<P>(beta), geometry.groups, geometry.width};
      launch(group_statistics<T>, geometry.sets(), mean.mut<P>(), invstd.mut<P>(), of_channel.mut<double>(),
             partial.ptr<double>(), rows.x, grid, geometry, eps);
      launch(affine_rows<T, V, GroupStatistics<P>>, grid.shape(), rows, statistics, grid);
    });
  });
}

void group_norm_backward(Tensor& dx, Tensor& dgamma, Tensor& dbeta, const Tensor& dy, const Tensor& x,
                         const Tensor& mean, const Tensor& invstd, const Tensor& gamma) {
  const GroupGeometry geometry(x, mean);
  dispatch_arithmetic(x.dtype(), "group_norm", [&]<class T>() {
    using P = NormParameter<T>;
    const GradientRows<T> rows{optional_mut<T>(dx), nullptr, dy.ptr<T>(), x.ptr<T>(), nullptr};
    with_lanes<T>(rows.wide(geometry.channels), [&]<int V>() {
      ChannelGrid over_samples(1, 0, geometry.channels, V);  // totals of dgamma and dbeta: a chunk per sample
      over_samples.chunks = static_cast<int>(geometry.samples);
      if (x.numel() == 0) {
        over_samples.chunks = 1;
        const Tensor nothing = Tensor::zeros({2, geometry.channels}, DType::F64, current_device());
        return total_gradients<P>(dgamma, dbeta, nothing, over_samples);
      }
      const ChannelGrid grid(geometry.samples, geometry.positions, geometry.channels, V);
      Tensor partial = doubles(grid.partial_size()), of_channel = doubles(grid.samples * 2 * grid.channels),
             of_set = doubles(mean.numel() * 2);
      launch(channel_sums<V, GradientTerm<T>>, grid.shape(),
             GradientTerm<T>{rows.dy, rows.x, nullptr, mean.ptr<P>(), geometry.groups, geometry.width}, grid,
             partial.mut<double>());
      launch(group_coefficients<P>, geometry.sets(), of_channel.mut<double>(), of_set.mut<double>(),
             partial.ptr<double>(), invstd.ptr<P>(), optional_ptr<P>(gamma), grid, geometry);
      const GroupGradient<P> gradient{mean.ptr<P>(),        invstd.ptr<P>(), optional_ptr<P>(gamma),
                                      of_set.ptr<double>(), geometry.groups, geometry.width};
      if (rows.dx != nullptr) {
        launch(gradient_rows<T, V, GroupGradient<P>>, grid.shape(), rows, gradient, grid);
      }
      if (dgamma.defined() || dbeta.defined()) total_gradients<P>(dgamma, dbeta, of_channel, over_samples);
    });
  });
}

}  // namespace lathe::kernels::cuda
