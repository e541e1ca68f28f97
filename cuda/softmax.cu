#include <limits>

#include "core/kernels/softmax.h"
#include "cuda/dispatch.h"
#include "cuda/packs.cuh"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

constexpr int kRowBlock = 512;  // threads of a long row

template <class V>
__device__ __forceinline__ V minus_infinity() {
  return -std::numeric_limits<V>::infinity();
}

/// Largest value so far and the sum of exp(x - largest). -inf adds nothing; NaN and inf make the row NaN.
template <class V>
struct Running {
  V largest = minus_infinity<V>(), sum = V(0);

  __device__ __forceinline__ void add(V x) {
    if (x > largest) {
      sum = sum * math::exp(largest - x) + (V(1) + (x - x));  // inf - inf: NaN, as exp(x - largest) would be
      largest = x;
    } else if (x != minus_infinity<V>()) {
      sum += math::exp(x - largest);
    }
  }
  /// One row's, over a block; every thread gets it.
  __device__ void over_block() {
    const V mine = largest;
    largest = block_reduce<Max>(mine);
    sum = block_reduce<Sum>(sum * math::exp(mine - largest));
  }
};

/// What turns x into y once the row's sum is known.
template <class V>
struct Finish {
  V largest, scale, log_sum;
  bool log;

  __device__ Finish(V top, V sum, bool as_log)
      : largest(top), scale(V(1) / sum), log_sum(as_log ? math::log(sum) : V(0)), log(as_log) {}
  __device__ __forceinline__ V operator()(V x) const {
    return log ? (x - largest) - log_sum : math::exp(x - largest) * scale;
  }
};

template <class V>
__device__ __forceinline__ V gradient_term(V dy, V y, bool log) {
  return log ? dy : dy * y;
}
template <class V>
__device__ __forceinline__ V gradient(V dy, V y, V total, bool log) {
  return log ? dy - math::exp(y) * total : y * (dy - total);
}

/// A warp holds a row of up to 32 kPer elements in registers.
template <class T, int kPer>
__global__ void softmax_short_rows(T* y, const T* x, int64_t rows, int n, bool log) {
  using V = Arithmetic<T>;
  const int lane = threadIdx.x % kWarp;
  for (int64_t row = thread_index() / kWarp; row < rows; row += thread_count() / kWarp) {
    V value[kPer];
    V largest = minus_infinity<V>();
    for (int k = 0; k < kPer; ++k) {
      const int i = lane + k * kWarp;
      value[k] = i < n ? load(x, row * n + i) : minus_infinity<V>();
      largest = Max::of(largest, value[k]);
    }
    largest = warp_reduce<Max>(largest);
    V sum = V(0);
    for (int k = 0; k < kPer; ++k) {
      if (lane + k * kWarp < n) sum += math::exp(value[k] - largest);
    }
    const Finish<V> finish(largest, warp_reduce<Sum>(sum), log);
    for (int k = 0; k < kPer; ++k) {
      const int i = lane + k * kWarp;
      if (i < n) store(y, row * n + i, finish(value[k]));
    }
  }
}

template <class T, int kPer>
__global__ void gradient_short_rows(T* dx, const T* dy, const T* y, int64_t rows, int n, bool log) {
  using V = Arithmetic<T>;
  const int lane = threadIdx.x % kWarp;
  for (int64_t row = thread_index() / kWarp; row < rows; row += thread_count() / kWarp) {
    V g[kPer], v[kPer];
    V total = V(0);
    for (int k = 0; k < kPer; ++k) {
      const int i = lane + k * kWarp;
      g[k] = i < n ? load(dy, row * n + i) : V(0);
      v[k] = i < n ? load(y, row * n + i) : V(0);
      total += gradient_term(g[k], v[k], log);
    }
    total = warp_reduce<Sum>(total);
    for (int k = 0; k < kPer; ++k) {
      const int i = lane + k * kWarp;
      if (i < n) store(dx, row * n + i, gradient(g[k], v[k], total, log));
    }
  }
}

/// A block reads its row twice: for the sum and for y. Row b of n runs begins at run (b / inner) n inner +
/// b % inner and goes on in steps of `inner`.
template <class T, int W>
__global__ void softmax_long_rows(Run<T, W>* y, const Run<T, W>* x, int64_t n, int64_t inner, bool log) {
  using V = Arithmetic<T>;
  const int64_t first = blockIdx.x / inner * n * inner + blockIdx.x % inner, end = first + n * inner;
  Running<V> running;
  for (int64_t p = first + threadIdx.x * inner; p < end; p += blockDim.x * inner) {
    const Run<T, W> in = x[p];
    for (int k = 0; k < W; ++k) running.add(static_cast<V>(in.v[k]));
  }
  running.over_block();
  const Finish<V> finish(running.largest, running.sum, log);
  for (int64_t p = first + threadIdx.x * inner; p < end; p += blockDim.x * inner) {
    Run<T, W> out = x[p];
    for (int k = 0; k < W; ++k) out.v[k] = static_cast<T>(finish(static_cast<V>(out.v[k])));
    y[p] = out;
  }
}

template <class T, int W>
__global__ void gradient_long_rows(Run<T, W>* dx, const Run<T, W>* dy, const Run<T, W>* y, int64_t n,
                                   int64_t inner, bool log) {
  using V = Arithmetic<T>;
  const int64_t first = blockIdx.x / inner * n * inner + blockIdx.x % inner, end = first + n * inner;
  V total = V(0);
  for (int64_t p = first + threadIdx.x * inner; p < end; p += blockDim.x * inner) {
    const Run<T, W> g = dy[p], v = y[p];
    for (int k = 0; k < W; ++k) total += gradient_term(static_cast<V>(g.v[k]), static_cast<V>(v.v[k]), log);
  }
  total = block_reduce<Sum>(total);
  for (int64_t p = first + threadIdx.x * inner; p < end; p += blockDim.x * inner) {
    const Run<T, W> g = dy[p], v = y[p];
    Run<T, W> out;
    for (int k = 0; k < W; ++k) {
      out.v[k] = static_cast<T>(gradient(static_cast<V>(g.v[k]), static_cast<V>(v.v[k]), total, log));
    }
    dx[p] = out;
  }
}

/// A thread for each of the `count` columns of (outer, n, inner): neighbours read neighbours.
template <class T>
__global__ void softmax_columns(T* y, const T* x, int64_t count, int64_t n, int64_t inner, bool log) {
  using V = Arithmetic<T>;
  for (int64_t c = thread_index(); c < count; c += thread_count()) {
    const int64_t first = c / inner * n * inner + c % inner;
    Running<V> running;
    for (int64_t i = 0; i < n; ++i) running.add(load(x, first + i * inner));
    const Finish<V> finish(running.largest, running.sum, log);
    for (int64_t i = 0; i < n; ++i) store(y, first + i * inner, finish(load(x, first + i * inner)));
  }
}

template <class T>
__global__ void gradient_columns(T* dx, const T* dy, const T* y, int64_t count, int64_t n, int64_t inner,
                                 bool log) {
  using V = Arithmetic<T>;
  for (int64_t c = thread_index(); c < count; c += thread_count()) {
    const int64_t first = c / inner * n * inner + c % inner;
    V total = V(0);
    for (int64_t i = 0; i < n; ++i) {
      total += gradient_term(load(dy, first + i * inner), load(y, first + i * inner), log);
    }
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = first + i * inner;
      store(dx, at, gradient(load(dy, at), load(y, at), total, log));
    }
  }
}

/// x seen as (outer, n, inner).
struct Parts {
  int64_t outer = 1, n, inner = 1;
  Parts(const Shape& shape, int axis) : n(shape[axis]) {
    for (int i = 0; i < axis; ++i) outer *= shape[i];
    for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  }
  int64_t rows() const { return outer * inner; }
  /// Columns that a thread each can work on: short ones, or so many that the device is full.
  bool columns() const { return inner > 1 && (n <= 32 * kWarp || rows() >= 32768); }
  /// Rows that a warp can hold.
  bool short_rows() const { return inner == 1 && n <= 32 * kWarp; }
};

/// fn.operator()<kPer>() with 32 kPer >= n; n <= 1024.
template <class Fn>
void with_registers(int64_t n, const Fn& fn) {
  if (n <= 2 * kWarp) return fn.template operator()<2>();
  if (n <= 8 * kWarp) return fn.template operator()<8>();
  fn.template operator()<32>();
}

/// Elements to a run of long rows: rows that are columns have runs of 1.
template <class T, class Fn>
void with_run(const Parts& parts, std::initializer_list<const void*> addresses, const Fn& fn) {
  with_width<T>(parts.inner == 1 ? parts.n : 1, addresses, fn);
}

}  // namespace

void softmax_forward(Tensor& y, const Tensor& x, const SoftmaxOptions& options) {
  if (x.numel() == 0) return;
  const Parts parts(x.shape(), x.shape().axis(options.axis));
  const int64_t rows = parts.rows(), n = parts.n, inner = parts.inner;
  const bool log = options.log;
  dispatch_arithmetic(x.dtype(), "softmax", [&]<class T>() {
    T* out = y.mut<T>();
    const T* in = x.ptr<T>();
    if (parts.columns()) return launch(softmax_columns<T>, over(rows), out, in, rows, n, inner, log);
    if (parts.short_rows()) {
      return with_registers(n, [&]<int kPer>() {
        launch(softmax_short_rows<T, kPer>, over(rows * kWarp), out, in, rows, n, log);
      });
    }
    with_run<T>(parts, {out, in}, [&]<int W>() {
      launch(softmax_long_rows<T, W>, block_each(rows, kRowBlock), runs<W>(out), runs<W>(in), n / W, inner,
             log);
    });
  });
}

void softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const SoftmaxOptions& options) {
  if (y.numel() == 0) return;
  const Parts parts(y.shape(), y.shape().axis(options.axis));
  const int64_t rows = parts.rows(), n = parts.n, inner = parts.inner;
  const bool log = options.log;
  dispatch_arithmetic(y.dtype(), "softmax", [&]<class T>() {
    T* out = dx.mut<T>();
    const T *g = dy.ptr<T>(), *v = y.ptr<T>();
    if (parts.columns()) return launch(gradient_columns<T>, over(rows), out, g, v, rows, n, inner, log);
    if (parts.short_rows()) {
      return with_registers(n, [&]<int kPer>() {
        launch(gradient_short_rows<T, kPer>, over(rows * kWarp), out, g, v, rows, n, log);
      });
    }
    with_run<T>(parts, {out, g, v}, [&]<int W>() {
      launch(gradient_long_rows<T, W>, block_each(rows, kRowBlock), runs<W>(out), runs<W>(g), runs<W>(v),
             n / W, inner, log);
    });
  });
}

}  // namespace lathe::kernels::cuda
