#pragma once
// Passes over rows of C channels that are affine per channel: a normalisation's output and its input's
// gradient. A block first makes its tile's coefficients in shared memory; Source::prepare does so.

#include "cuda/channel_sums.cuh"

namespace lathe::cuda {

/// fn.operator()<V>() with V elements of 16 bytes, or 1.
template <class T, class Fn>
void with_lanes(bool wide, Fn&& fn) {
  wide ? fn.template operator()<kWidestLanes<T>>() : fn.template operator()<1>();
}

/// y = act((x - mean) scale + shift + residual); residual may be null.
template <class T>
struct AffineRows {
  T* y;
  const T *x, *residual;
  bool relu;

  bool wide(int64_t channels) const { return wide_channels<T>(channels, y, x, residual); }
};

template <class P>
struct AffineTile {
  P mean[kMostTile], scale[kMostTile], shift[kMostTile];

  __device__ void set(int j, P m, P invstd, const P* gamma, const P* beta, int64_t c) {
    mean[j] = m;
    scale[j] = gamma != nullptr ? invstd * gamma[c] : invstd;
    shift[j] = beta != nullptr ? beta[c] : P{0};
  }
};

template <class T, int V, class Source>
__global__ void __launch_bounds__(kChannelBlock)
    affine_rows(AffineRows<T> o, Source source, ChannelGrid grid) {
  using P = NormParameter<T>;
  __shared__ AffineTile<P> tile;
  source.prepare(tile, grid);
  __syncthreads();
  P mean[V], scale[V], shift[V];
  const int first = threadIdx.x % grid.lanes * V;
  for (int v = 0; v < V; ++v) {
    mean[v] = tile.mean[first + v];
    scale[v] = tile.scale[first + v];
    shift[v] = tile.shift[first + v];
  }
  grid.for_each_row<V>([&](int64_t, int64_t at) {
    const auto x = Lanes<T, V>::at(o.x, at);
    const auto residual = o.residual != nullptr ? Lanes<T, V>::at(o.residual, at) : x;
    Lanes<T, V> y;
    for (int v = 0; v < V; ++v) {
      P value = (x[v] - mean[v]) * scale[v] + shift[v];
      if (o.residual != nullptr) value += residual[v];
      if (o.relu && value < 0) value = 0;  // keeps NaN
      y.set(v, value);
    }
    y.to(o.y, at);
  });
}

/// g = dy, or 0 where y is not positive (null: no mask); dresidual = g; dx = a g + b (x - mean) + c per
/// channel. Null outputs are skipped.
template <class T>
struct GradientRows {
  T *dx, *dresidual;
  const T *dy, *x, *y;

  bool wide(int64_t channels) const { return wide_channels<T>(channels, dx, dresidual, dy, x, y); }
};

template <class P>
struct GradientTile {
  P mean[kMostTile], a[kMostTile], b[kMostTile], c[kMostTile];

  __device__ void set(int j, P m, double a_, double b_, double c_) {
    mean[j] = m;
    a[j] = static_cast<P>(a_);
    b[j] = static_cast<P>(b_);
    c[j] = static_cast<P>(c_);
  }
};

template <class T, int V, class Source>
__global__ void __launch_bounds__(kChannelBlock)
    gradient_rows(GradientRows<T> o, Source source, ChannelGrid grid) {
  using P = NormParameter<T>;
  __shared__ GradientTile<P> tile;
  source.prepare(tile, grid);
  __syncthreads();
  if (o.dx == nullptr && o.dresidual == nullptr) return;
  P mean[V], a[V], b[V], c[V];
  const int first = threadIdx.x % grid.lanes * V;
  for (int v = 0; v < V; ++v) {
    mean[v] = tile.mean[first + v];
    a[v] = tile.a[first + v];
    b[v] = tile.b[first + v];
    c[v] = tile.c[first + v];
  }
  grid.for_each_row<V>([&](int64_t, int64_t at) {
    auto g = Lanes<T, V>::at(o.dy, at);
    if (o.y != nullptr) {
      const auto y = Lanes<T, V>::at(o.y, at);
      for (int v = 0; v < V; ++v) {
        if (!(y[v] > 0)) g.set(v, 0);
      }
    }
    if (o.dx != nullptr) {
      const auto x = Lanes<T, V>::at(o.x, at);
      Lanes<T, V> dx;
      for (int v = 0; v < V; ++v) dx.set(v, a[v] * g[v] + (b[v] * (x[v] - mean[v]) + c[v]));
      dx.to(o.dx, at);
    }
    if (o.dresidual != nullptr) g.to(o.dresidual, at);
  });
}

}  // namespace lathe::cuda
