#include "core/kernels/pool.h"
#include "cuda/dispatch.h"
#include "cuda/packs.cuh"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

/// A place in images of (h, w) pixels of `channels` runs.
struct Place {
  int64_t image, i, j, channel;

  __device__ Place(int64_t at, int64_t h, int64_t w, int64_t channels) {
    channel = at % channels;
    at /= channels;
    j = at % w;
    at /= w;
    i = at % h;
    image = at / h;
  }
};

/// A thread for each of the `n` runs of y. argmax may be null.
template <class T, int W>
__global__ void max_windows(Run<T, W>* y, Run<int32_t, W>* argmax, const Run<T, W>* x, PoolGeometry g,
                            int64_t channels, int64_t n) {
  using V = Arithmetic<T>;
  for (int64_t at = thread_index(); at < n; at += thread_count()) {
    const Place o(at, g.h.out, g.w.out, channels);
    const int64_t h0 = g.h.lo(o.i), h1 = g.h.hi(o.i), w0 = g.w.lo(o.j), w1 = g.w.hi(o.j);
    const Run<T, W>* plane = x + o.image * g.h.n * g.w.n * channels + o.channel;
    const auto first = static_cast<int32_t>(h0 * g.w.n + w0);
    Run<T, W> best = plane[first * channels];
    Run<int32_t, W> where;
    for (int k = 0; k < W; ++k) where.v[k] = first;
    for (int64_t h = h0; h < h1; ++h) {
      for (int64_t w = w0; w < w1; ++w) {
        const auto pixel = static_cast<int32_t>(h * g.w.n + w);
        const Run<T, W> value = plane[pixel * channels];
        for (int k = 0; k < W; ++k) {
          const V candidate = static_cast<V>(value.v[k]);
          if (candidate > static_cast<V>(best.v[k]) || candidate != candidate) {
            best.v[k] = value.v[k];
            where.v[k] = pixel;
          }
        }
      }
    }
    y[at] = best;
    if (argmax != nullptr) argmax[at] = where;
  }
}

/// A thread for each of the `n` runs of dx: it asks the windows that hold its pixel, in order.
template <class T, int W>
__global__ void max_gradient(Run<T, W>* dx, const Run<T, W>* dy, const Run<int32_t, W>* argmax,
                             PoolGeometry g, int64_t channels, int64_t n) {
  using V = Arithmetic<T>;
  for (int64_t at = thread_index(); at < n; at += thread_count()) {
    const Place p(at, g.h.n, g.w.n, channels);
    const auto pixel = static_cast<int32_t>(p.i * g.w.n + p.j);
    const int64_t i1 = g.h.last(p.i), j0 = g.w.first(p.j), j1 = g.w.last(p.j);
    V sum[W] = {};
    for (int64_t i = g.h.first(p.i); i <= i1; ++i) {
      for (int64_t j = j0; j <= j1; ++j) {
        const int64_t o = ((p.image * g.h.out + i) * g.w.out + j) * channels + p.channel;
        const Run<int32_t, W> where = argmax[o];
        const Run<T, W> grad = dy[o];
        for (int k = 0; k < W; ++k) sum[k] += where.v[k] == pixel ? static_cast<V>(grad.v[k]) : V(0);
      }
    }
    Run<T, W> out;
    for (int k = 0; k < W; ++k) out.v[k] = static_cast<T>(sum[k]);
    dx[at] = out;
  }
}

template <class T, int W>
__global__ void mean_windows(Run<T, W>* y, const Run<T, W>* x, PoolGeometry g, int64_t channels, int64_t n) {
  using V = Arithmetic<T>;
  for (int64_t at = thread_index(); at < n; at += thread_count()) {
    const Place o(at, g.h.out, g.w.out, channels);
    const int64_t h1 = g.h.hi(o.i), w0 = g.w.lo(o.j), w1 = g.w.hi(o.j);
    V sum[W] = {};
    for (int64_t h = g.h.lo(o.i); h < h1; ++h) {
      for (int64_t w = w0; w < w1; ++w) {
        const Run<T, W> value = x[((o.image * g.h.n + h) * g.w.n + w) * channels + o.channel];
        for (int k = 0; k < W; ++k) sum[k] += static_cast<V>(value.v[k]);
      }
    }
    const V factor = static_cast<V>(g.factor(o.i, o.j));
    Run<T, W> out;
    for (int k = 0; k < W; ++k) out.v[k] = static_cast<T>(sum[k] * factor);
    y[at] = out;
  }
}

template <class T, int W>
__global__ void mean_gradient(Run<T, W>* dx, const Run<T, W>* dy, PoolGeometry g, int64_t channels,
                              int64_t n) {
  using V = Arithmetic<T>;
  for (int64_t at = thread_index(); at < n; at += thread_count()) {
    const Place p(at, g.h.n, g.w.n, channels);
    const int64_t i1 = g.h.last(p.i), j0 = g.w.first(p.j), j1 = g.w.last(p.j);
    V sum[W] = {};
    for (int64_t i = g.h.first(p.i); i <= i1; ++i) {
      for (int64_t j = j0; j <= j1; ++j) {
        const Run<T, W> grad = dy[((p.image * g.h.out + i) * g.w.out + j) * channels + p.channel];
        const V factor = static_cast<V>(g.factor(i, j));
        for (int k = 0; k < W; ++k) sum[k] += factor * static_cast<V>(grad.v[k]);
      }
    }
    Run<T, W> out;
    for (int k = 0; k < W; ++k) out.v[k] = static_cast<T>(sum[k]);
    dx[at] = out;
  }
}

}  // namespace

void max_pool_forward(Tensor& y, Tensor& argmax, const Tensor& x, const PoolGeometry& geometry) {
  const int64_t c = x.dim(3);
  LATHE_CHECK(ShapeError, x.dim(1) * x.dim(2) * c <= INT32_MAX, "max_pool: an image of ", x.shape(),
              " is too large");
  if (y.numel() == 0) return;
  dispatch_arithmetic(x.dtype(), "max_pool", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = y.mut<T>();
    int32_t* index = optional_mut<int32_t>(argmax);
    with_width<T>(c, {in, out, index}, [&]<int W>() {
      const int64_t n = y.numel() / W;
      launch(max_windows<T, W>, over(n), runs<W>(out), runs<W>(index), runs<W>(in), geometry, c / W, n);
    });
  });
}

void max_pool_backward(Tensor& dx, const Tensor& dy, const Tensor& argmax, const PoolGeometry& geometry) {
  if (dx.numel() == 0) return;
  const int64_t c = dx.dim(3);
  dispatch_arithmetic(dx.dtype(), "max_pool", [&]<class T>() {
    const T* grad = dy.ptr<T>();
    T* out = dx.mut<T>();
    const int32_t* index = argmax.ptr<int32_t>();
    with_width<T>(c, {grad, out, index}, [&]<int W>() {
      const int64_t n = dx.numel() / W;
      launch(max_gradient<T, W>, over(n), runs<W>(out), runs<W>(grad), runs<W>(index), geometry, c / W, n);
    });
  });
}

void avg_pool_forward(Tensor& y, const Tensor& x, const PoolGeometry& geometry) {
  if (y.numel() == 0) return;
  const int64_t c = x.dim(3);
  dispatch_arithmetic(x.dtype(), "avg_pool", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = y.mut<T>();
    with_width<T>(c, {in, out}, [&]<int W>() {
      const int64_t n = y.numel() / W;
      launch(mean_windows<T, W>, over(n), runs<W>(out), runs<W>(in), geometry, c / W, n);
    });
  });
}

void avg_pool_backward(Tensor& dx, const Tensor& dy, const PoolGeometry& geometry) {
  if (dx.numel() == 0) return;
  const int64_t c = dx.dim(3);
  dispatch_arithmetic(dx.dtype(), "avg_pool", [&]<class T>() {
    const T* grad = dy.ptr<T>();
    T* out = dx.mut<T>();
    with_width<T>(c, {grad, out}, [&]<int W>() {
      const int64_t n = dx.numel() / W;
      launch(mean_gradient<T, W>, over(n), runs<W>(out), runs<W>(grad), geometry, c / W, n);
    });
  });
}

}  // namespace lathe::kernels::cuda
