#pragma once
// What kernels are written with: indices, arithmetic types, sums over a block.

#include "core/bf16.h"
#include "core/hd.h"
#include "core/kernels/elementwise_math.h"
#include "cuda/launch.h"

namespace lathe::cuda {

__device__ inline int64_t thread_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline int64_t thread_count() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

/// The block's dynamic shared memory (LaunchShape::shared_bytes), aligned to 16 bytes.
template <class T>
__device__ T* dynamic_shared() {
#if LATHE_CUDA_EMULATED
  return reinterpret_cast<T*>(emulator::dynamic_shared_memory());
#else
  extern __shared__ __align__(16) unsigned char memory[];
  return reinterpret_cast<T*>(memory);
#endif
}

/// What elements of type T are computed in: bf16 in float, others in themselves.
template <class T>
struct ArithmeticOf {
  using type = T;
};
template <>
struct ArithmeticOf<bf16> {
  using type = float;
};
template <class T>
using Arithmetic = typename ArithmeticOf<T>::type;

template <class T>
__device__ __forceinline__ Arithmetic<T> load(const T* x, int64_t i) {
  return static_cast<Arithmetic<T>>(x[i]);
}
template <class T>
__device__ __forceinline__ void store(T* y, int64_t i, Arithmetic<T> value) {
  y[i] = static_cast<T>(value);
}

struct Sum {
  template <class V>
  static __device__ __forceinline__ V of(V a, V b) {
    return a + b;
  }
};
/// NaN wins.
struct Max {
  template <class V>
  static __device__ __forceinline__ V of(V a, V b) {
    return a != a || a > b ? a : b;
  }
};
struct Min {
  template <class V>
  static __device__ __forceinline__ V of(V a, V b) {
    return a != a || a < b ? a : b;
  }
};

/// Over the lanes of a warp, in a fixed tree; every lane gets the result. All lanes take part.
template <class Op, class V>
__device__ V warp_reduce(V value) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    value = Op::of(value, __shfl_xor_sync(0xFFFFFFFFu, value, offset));
  }
  return value;
}

/// Over a block of up to 1024 threads (a multiple of 32), in a fixed tree; every thread gets the result. All
/// threads take part; ends with a barrier.
template <class Op, class V>
__device__ V block_reduce(V value) {
  __shared__ V of_warp[kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  value = warp_reduce<Op>(value);
  if (lane == 0) of_warp[warp] = value;
  __syncthreads();
  V total = of_warp[0];
  for (int w = 1; w < warps; ++w) total = Op::of(total, of_warp[w]);
  __syncthreads();
  return total;
}

}  // namespace lathe::cuda
