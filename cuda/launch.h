#pragma once
// Kernel launches. Device code is compiled twice: by nvcc, and by the host compiler for the emulator of the
// tests (tests/cuda_emulator), which runs it thread by thread.

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "cuda/runtime.h"

#if LATHE_CUDA_EMULATED
#include <cuda_emulator.h>
#endif

namespace lathe::cuda {

inline constexpr int kWarp = 32;
inline constexpr int kBlock = 256;  ///< threads of a block where nothing else is said

struct LaunchShape {
  dim3 grid{1, 1, 1};
  dim3 block{kBlock, 1, 1};
  size_t shared_bytes = 0;  ///< of dynamic shared memory, see dynamic_shared<T>()
};

/// A launch with empty grids does nothing. Arguments are converted to the kernel's parameter types.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), const LaunchShape& shape, Arguments&&... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "kernels take plain values");
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  LATHE_ASSERT(shape.grid.y <= 65535 && shape.grid.z <= 65535);
#if LATHE_CUDA_EMULATED
  emulator::launch(compute_stream(), shape.grid, shape.block, shape.shared_bytes,
                   [=] { kernel(static_cast<Parameters>(arguments)...); });
#else
  const auto* function = reinterpret_cast<const void*>(kernel);
  if (shape.shared_bytes > 48 * 1024) {
    LATHE_CUDA_CHECK(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          static_cast<int>(shape.shared_bytes)));
  }
  const auto call = [&](Parameters... values) {
    void* pointers[] = {static_cast<void*>(&values)..., nullptr};
    LATHE_CUDA_CHECK(
        cudaLaunchKernel(function, shape.grid, shape.block, pointers, shape.shared_bytes, compute_stream()));
  };
  call(static_cast<Parameters>(arguments)...);
#endif
}

/// For a kernel whose threads stride over n elements with `for (i = thread_index(); i < n; i +=
/// thread_count())`, `per_thread` of them each at least. What a thread computes must not depend on which
/// thread it is.
inline LaunchShape over(int64_t n, int64_t per_thread = 1, int block = kBlock) {
  const int64_t threads = (n + per_thread - 1) / per_thread;
  const int64_t most = static_cast<int64_t>(current().multiprocessors) * 32;
  LaunchShape shape;
  shape.block = dim3(static_cast<unsigned>(block));
  shape.grid = dim3(static_cast<unsigned>(std::min((threads + block - 1) / block, most)));
  return shape;
}

/// One block for each of `count` pieces of work: blockIdx.x is the piece.
inline LaunchShape block_each(int64_t count, int block = kBlock, size_t shared_bytes = 0) {
  LATHE_ASSERT(count < (int64_t{1} << 31));
  LaunchShape shape;
  shape.block = dim3(static_cast<unsigned>(block));
  shape.grid = dim3(static_cast<unsigned>(count));
  shape.shared_bytes = shared_bytes;
  return shape;
}

}  // namespace lathe::cuda
