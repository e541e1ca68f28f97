#include "core/kernels/pool.h"

#include "core/cpu/isa_pool.h"
#include "core/cpu/loop_nest.h"

namespace lathe::kernels::cpu {
namespace {

namespace isa = lathe::cpu;
using isa::pick;

isa::Window window_at(const PoolGeometry& g, int64_t i, int64_t j, int64_t channels) {
  return {.h0 = g.h.lo(i),
          .h1 = g.h.hi(i),
          .w0 = g.w.lo(j),
          .w1 = g.w.hi(j),
          .width = g.w.n,
          .channels = channels};
}

/// fn(image, i, j, offset of the output pixel), output rows in parallel.
template <class Fn>
void for_outputs(const Shape& y, int64_t window_size, const Fn& fn) {
  const int64_t oh = y[1], ow = y[2], c = y[3];
  if (y.numel() == 0) return;
  parallel_for(y[0] * oh, isa::row_grain(ow * c * window_size), [&](int64_t lo, int64_t hi) {
    for (int64_t row = lo; row < hi; ++row) {
      for (int64_t j = 0; j < ow; ++j) fn(row / oh, row % oh, j, (row * ow + j) * c);
    }
  });
}

int64_t window_size(const PoolGeometry& g) {
  return (g.h.hi(0) - g.h.lo(0)) * (g.w.hi(0) - g.w.lo(0));
}

}  // namespace

void max_pool_forward(Tensor& y, Tensor& argmax, const Tensor& x, const PoolGeometry& geometry) {
  const int64_t c = x.dim(3), plane = x.dim(1) * x.dim(2) * c;
  LATHE_CHECK(ShapeError, plane <= INT32_MAX, "max_pool: an image of ", x.shape(), " is too large");
  int32_t* index = argmax.defined() ? argmax.mut<int32_t>() : nullptr;
  dispatch_floating(x.dtype(), "max_pool", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = y.mut<T>();
    for_outputs(y.shape(), window_size(geometry), [&](int64_t image, int64_t i, int64_t j, int64_t at) {
      pick<T>(isa::max_window_f32, isa::max_window_f64)(out + at, index == nullptr ? nullptr : index + at,
                                                        in + image * plane, window_at(geometry, i, j, c));
    });
  });
}

void max_pool_backward(Tensor& dx, const Tensor& dy, const Tensor& argmax, const PoolGeometry&) {
  const int64_t c = dx.dim(3), plane = dx.dim(1) * dx.dim(2) * c;
  const int64_t outputs = dy.dim(1) * dy.dim(2);
  const int32_t* index = argmax.ptr<int32_t>();
  dispatch_floating(dx.dtype(), "max_pool", [&]<class T>() {
    const T* in = dy.ptr<T>();
    T* out = dx.mut<T>();
    // Windows may overlap, so an image is one task.
    parallel_for(dx.dim(0), isa::row_grain(plane), [&](int64_t lo, int64_t hi) {
      std::fill(out + lo * plane, out + hi * plane, T(0));
      for (int64_t image = lo; image < hi; ++image) {
        T* target = out + image * plane;
        for (int64_t o = image * outputs; o < (image + 1) * outputs; ++o) {
          for (int64_t k = 0; k < c; ++k) target[index[o * c + k] * c + k] += in[o * c + k];
        }
      }
    });
  });
}

void avg_pool_forward(Tensor& y, const Tensor& x, const PoolGeometry& geometry) {
  const int64_t c = x.dim(3), plane = x.dim(1) * x.dim(2) * c;
  dispatch_floating(x.dtype(), "avg_pool", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = y.mut<T>();
    for_outputs(y.shape(), window_size(geometry), [&](int64_t image, int64_t i, int64_t j, int64_t at) {
      pick<T>(isa::sum_window_f32, isa::sum_window_f64)(
          out + at, in + image * plane, window_at(geometry, i, j, c), static_cast<T>(geometry.factor(i, j)));
    });
  });
}

void avg_pool_backward(Tensor& dx, const Tensor& dy, const PoolGeometry& geometry) {
  const int64_t c = dx.dim(3), plane = dx.dim(1) * dx.dim(2) * c;
  const int64_t oh = dy.dim(1), ow = dy.dim(2);
  dispatch_floating(dx.dtype(), "avg_pool", [&]<class T>() {
    const T* in = dy.ptr<T>();
    T* out = dx.mut<T>();
    parallel_for(dx.dim(0), isa::row_grain(plane), [&](int64_t lo, int64_t hi) {
      std::fill(out + lo * plane, out + hi * plane, T(0));
      for (int64_t o = lo * oh * ow; o < hi * oh * ow; ++o) {
        const int64_t image = o / (oh * ow), i = o / ow % oh, j = o % ow;
        pick<T>(isa::spread_window_f32, isa::spread_window_f64)(out + image * plane, in + o * c,
                                                                window_at(geometry, i, j, c),
                                                                static_cast<T>(geometry.factor(i, j)));
      }
    });
  });
}

}  // namespace lathe::kernels::cpu
