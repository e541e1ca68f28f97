#pragma once
// What normalisations sum over rows of C channels, and their passes that are affine per channel: the output
// and the input's gradient. A block of these first makes its tile's coefficients in shared memory;
// Source::prepare does so.

#include "cuda/channel_sums.cuh"

namespace lathe::cuda {

/// fn.operator()<V>() with V elements of 16 bytes, or 1.
template <class T, class Fn>
void with_lanes(bool wide, Fn&& fn) {
  wide ? fn.template operator()<kWidestLanes<T>>() : fn.template operator()<1>();
}

/// (x - origin, its square), where the origin is each channel's first value of the sample, which lies as far
/// from the mean as any value does: no cancellation to speak of.
template <class T>
struct MomentTerm {
  using P = NormParameter<T>;
  const T* x;
  int64_t sample_size;
  P origin[kWidestLanes<T>] = {};

  template <int V>
  __device__ void start(int64_t sample, int64_t channel) {
    for (int v = 0; v < V; ++v) origin[v] = static_cast<P>(x[sample * sample_size + channel + v]);
  }
  template <int V>
  __device__ Lanes<T, V> load(int64_t at) const {
    return Lanes<T, V>::at(x, at);
  }
  template <int V>
  __device__ void add(double (*sums)[V], const Lanes<T, V>& in, int64_t) const {
    for (int v = 0; v < V; ++v) {
      const double d = static_cast<double>(in[v] - origin[v]);
      sums[0][v] += d;
      sums[1][v] += d * d;
    }
  }
};

/// (g, g (x - mean)) with g = dy, or 0 where y is not positive (y null: no mask). Channel c of sample n has
/// the mean of set n sets + c / width.
template <class T>
struct GradientTerm {
  using P = NormParameter<T>;
  const T *dy, *x, *y;
  const P* mean;
  int64_t sets, width;
  P centre[kWidestLanes<T>] = {};

  template <int V>
  __device__ void start(int64_t sample, int64_t channel) {
    for (int v = 0; v < V; ++v) centre[v] = mean[sample * sets + (channel + v) / width];
  }
  template <int V>
  struct Operands {
    Lanes<T, V> g, x, y;
  };
  template <int V>
  __device__ Operands<V> load(int64_t at) const {
    const auto g = Lanes<T, V>::at(dy, at);
    return {g, Lanes<T, V>::at(x, at), y != nullptr ? Lanes<T, V>::at(y, at) : g};
  }
  template <int V>
  __device__ void add(double (*sums)[V], const Operands<V>& in, int64_t) const {
    for (int v = 0; v < V; ++v) {
      const bool masked = y != nullptr && !(in.y[v] > 0);
      const double value = masked ? 0 : static_cast<double>(in.g[v]);
      sums[0][v] += value;
      sums[1][v] += value * static_cast<double>(in.x[v] - centre[v]);
    }
  }
};

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
__global__ void __launch_bounds__(kChannelBlock, 2)
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
  struct Operands {
    Lanes<T, V> x, residual;
  };
  const auto load = [&](int64_t at) {
    const auto x = Lanes<T, V>::at(o.x, at);
    return Operands{x, o.residual != nullptr ? Lanes<T, V>::at(o.residual, at) : x};
  };
  grid.for_each_row<V>(load, [&](const Operands& in, int64_t, int64_t at) {
    Lanes<T, V> y;
    for (int v = 0; v < V; ++v) {
      P value = (in.x[v] - mean[v]) * scale[v] + shift[v];
      if (o.residual != nullptr) value += in.residual[v];
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
__global__ void __launch_bounds__(kChannelBlock, 2)
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
  struct Operands {
    Lanes<T, V> g, x, y;
  };
  const auto load = [&](int64_t at) {
    const auto g = Lanes<T, V>::at(o.dy, at);
    return Operands{g, o.dx != nullptr ? Lanes<T, V>::at(o.x, at) : g,
                    o.y != nullptr ? Lanes<T, V>::at(o.y, at) : g};
  };
  grid.for_each_row<V>(load, [&](const Operands& in, int64_t, int64_t at) {
    Lanes<T, V> g = in.g, dx;
    for (int v = 0; v < V; ++v) {
      if (o.y != nullptr && !(in.y[v] > 0)) g.set(v, 0);
      dx.set(v, a[v] * g[v] + (b[v] * (in.x[v] - mean[v]) + c[v]));
    }
    if (o.dx != nullptr) dx.to(o.dx, at);
    if (o.dresidual != nullptr) g.to(o.dresidual, at);
  });
}

}  // namespace lathe::cuda
