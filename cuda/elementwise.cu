#include "core/kernels/elementwise.h"
#include "core/loop_nest.h"
#include "cuda/device.cuh"
#include "cuda/dispatch.h"
#include "cuda/map.cuh"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

template <class T>
struct Constant {
  T value;
  __device__ T operator()(int64_t) const { return value; }
};

/// Through the source's own type, so that f64 and i64 lose nothing on the way.
template <class From, class To>
__global__ void cast_elements(To* y, const From* x, int64_t n) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) y[i] = static_cast<To>(x[i]);
}

struct Add {
  template <class V>
  __device__ V operator()(int64_t, V sum, V x) const {
    return sum + x;
  }
};

template <UnaryOp op, class V>
struct Unary {
  V a, b;
  __device__ V operator()(int64_t, V x) const { return math::unary<op>(x, a, b); }
};

template <UnaryOp op, class V>
struct UnaryBackward {
  V a, b;
  __device__ V operator()(int64_t, V dy, V saved) const { return math::unary_backward<op>(dy, saved, a, b); }
};

template <BinaryOp op>
struct Binary {
  template <class V>
  __device__ V operator()(int64_t, V a, V b) const {
    return math::binary<op>(a, b);
  }
};

template <BinaryOp op, int side>
struct BinaryBackward {
  template <class V>
  __device__ V operator()(int64_t, V dy, V a, V b) const {
    return math::binary_backward<op, side>(dy, a, b);
  }
};

/// Where element i of the result finds its operands.
struct Offsets {
  int64_t a = 0, b = 0;
  __device__ Offsets(const LoopNest<2>& nest, int64_t i) {
    for (int axis = 0; axis < nest.rank; ++axis) {
      const int64_t position = i % nest.extent[axis];
      i /= nest.extent[axis];
      a += position * nest.stride[0][axis];
      b += position * nest.stride[1][axis];
    }
  }
};

template <class T, class Fn>
__global__ void binary_strided(T* y, const T* a, const T* b, LoopNest<2> nest, int64_t n, Fn fn) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) {
    const Offsets at(nest, i);
    store(y, i, fn(i, load(a, at.a), load(b, at.b)));
  }
}

template <class T, class Fn>
__global__ void binary_backward_strided(T* dx, const T* dy, const T* a, const T* b, LoopNest<2> nest,
                                        int64_t n, Fn fn) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) {
    const Offsets at(nest, i);
    store(dx, i, fn(i, load(dy, i), load(a, at.a), load(b, at.b)));
  }
}

/// Both operands are as dense as the result.
bool dense(const Shape& y, const Tensor& a, const Tensor& b) {
  return a.numel() == y.numel() && b.numel() == y.numel();
}

}  // namespace

void fill(Tensor& y, double value) {
  dispatch_element(y.dtype(),
                   [&]<class T>() { map(y.numel(), Constant<T>{static_cast<T>(value)}, y.mut<T>()); });
}

void cast(Tensor& y, const Tensor& x) {
  dispatch_element(x.dtype(), [&]<class From>() {
    dispatch_element(y.dtype(), [&]<class To>() {
      launch(cast_elements<From, To>, over(y.numel()), y.mut<To>(), x.ptr<From>(), y.numel());
    });
  });
}

void accumulate(Tensor& sum, const Tensor& x) {
  LATHE_ASSERT(sum.shape() == x.shape());
  dispatch_arithmetic(sum.dtype(), "accumulate", [&]<class T>() {
    T* y = sum.mut<T>();
    map(sum.numel(), Add{}, y, static_cast<const T*>(y), x.ptr<T>());
  });
}

void binary(Tensor& y, const Tensor& a, const Tensor& b, BinaryOp op) {
  dispatch_arithmetic(y.dtype(), "binary", [&]<class T>() {
    with_binary_op(op, [&]<BinaryOp kOp>() {
      if (dense(y.shape(), a, b)) return map(y.numel(), Binary<kOp>{}, y.mut<T>(), a.ptr<T>(), b.ptr<T>());
      launch(binary_strided<T, Binary<kOp>>, over(y.numel()), y.mut<T>(), a.ptr<T>(), b.ptr<T>(),
             broadcast_nest(y.shape(), a.shape(), b.shape()), y.numel(), Binary<kOp>{});
    });
  });
}

void binary_backward(Tensor& dx, const Tensor& dy, const Tensor& a, const Tensor& b, BinaryOp op, int side) {
  LATHE_ASSERT(dx.shape() == dy.shape());
  dispatch_arithmetic(dx.dtype(), "binary_backward", [&]<class T>() {
    with_binary_op(op, [&]<BinaryOp kOp>() {
      const auto run = [&](auto fn) {
        const int64_t n = dx.numel();
        if (dense(dx.shape(), a, b)) return map(n, fn, dx.mut<T>(), dy.ptr<T>(), a.ptr<T>(), b.ptr<T>());
        launch(binary_backward_strided<T, decltype(fn)>, over(n), dx.mut<T>(), dy.ptr<T>(), a.ptr<T>(),
               b.ptr<T>(), broadcast_nest(dx.shape(), a.shape(), b.shape()), n, fn);
      };
      side == 0 ? run(BinaryBackward<kOp, 0>{}) : run(BinaryBackward<kOp, 1>{});
    });
  });
}

void unary(Tensor& y, const Tensor& x, UnaryOp op, UnaryParameters parameters) {
  LATHE_ASSERT(y.shape() == x.shape());
  dispatch_arithmetic(y.dtype(), "unary", [&]<class T>() {
    using V = Arithmetic<T>;
    with_unary_op(op, [&]<UnaryOp kOp>() {
      map(y.numel(), Unary<kOp, V>{static_cast<V>(parameters.a), static_cast<V>(parameters.b)}, y.mut<T>(),
          x.ptr<T>());
    });
  });
}

void unary_backward(Tensor& dx, const Tensor& dy, const Tensor& saved, UnaryOp op,
                    UnaryParameters parameters) {
  LATHE_ASSERT(dx.shape() == dy.shape() && dx.shape() == saved.shape());
  dispatch_arithmetic(dx.dtype(), "unary_backward", [&]<class T>() {
    using V = Arithmetic<T>;
    with_unary_op(op, [&]<UnaryOp kOp>() {
      map(dx.numel(), UnaryBackward<kOp, V>{static_cast<V>(parameters.a), static_cast<V>(parameters.b)},
          dx.mut<T>(), dy.ptr<T>(), saved.ptr<T>());
    });
  });
}

}  // namespace lathe::kernels::cuda
