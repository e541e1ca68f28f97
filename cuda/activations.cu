#include "core/kernels/activations.h"
#include "cuda/dispatch.h"
#include "cuda/packs.cuh"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

/// x is (outer, 2, half) runs, y (outer, half); n = outer half.
template <class T, int W>
__global__ void glu(Run<T, W>* y, const Run<T, W>* x, int64_t half, int64_t n) {
  using V = Arithmetic<T>;
  for (int64_t i = thread_index(); i < n; i += thread_count()) {
    const int64_t at = i + i / half * half;
    const Run<T, W> a = x[at], b = x[at + half];
    Run<T, W> out;
    for (int k = 0; k < W; ++k) {
      out.v[k] = static_cast<T>(static_cast<V>(a.v[k]) * math::sigmoid(static_cast<V>(b.v[k])));
    }
    y[i] = out;
  }
}

template <class T, int W>
__global__ void glu_gradient(Run<T, W>* dx, const Run<T, W>* dy, const Run<T, W>* x, int64_t half,
                             int64_t n) {
  using V = Arithmetic<T>;
  for (int64_t i = thread_index(); i < n; i += thread_count()) {
    const int64_t at = i + i / half * half;
    const Run<T, W> g = dy[i], a = x[at], b = x[at + half];
    Run<T, W> da, db;
    for (int k = 0; k < W; ++k) {
      const V grad = static_cast<V>(g.v[k]), s = math::sigmoid(static_cast<V>(b.v[k]));
      da.v[k] = static_cast<T>(grad * s);
      db.v[k] = static_cast<T>(grad * static_cast<V>(a.v[k]) * s * (V(1) - s));
    }
    dx[at] = da;
    dx[at + half] = db;
  }
}

int64_t half_of(const Shape& x, int axis) {
  int64_t inner = 1;
  for (int i = axis + 1; i < x.rank(); ++i) inner *= x[i];
  return x[axis] / 2 * inner;
}

}  // namespace

void glu_forward(Tensor& y, const Tensor& x, int axis) {
  if (y.numel() == 0) return;
  dispatch_arithmetic(x.dtype(), "glu", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = y.mut<T>();
    const int64_t half = half_of(x.shape(), axis);
    with_width<T>(half, {in, out}, [&]<int W>() {
      const int64_t n = y.numel() / W;
      launch(glu<T, W>, over(n), runs<W>(out), runs<W>(in), half / W, n);
    });
  });
}

void glu_backward(Tensor& dx, const Tensor& dy, const Tensor& x, int axis) {
  if (dy.numel() == 0) return;
  dispatch_arithmetic(x.dtype(), "glu", [&]<class T>() {
    const T *grad = dy.ptr<T>(), *in = x.ptr<T>();
    T* out = dx.mut<T>();
    const int64_t half = half_of(x.shape(), axis);
    with_width<T>(half, {grad, in, out}, [&]<int W>() {
      const int64_t n = dy.numel() / W;
      launch(glu_gradient<T, W>, over(n), runs<W>(out), runs<W>(grad), runs<W>(in), half / W, n);
    });
  });
}

}  // namespace lathe::kernels::cuda
