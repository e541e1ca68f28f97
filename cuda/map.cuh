#pragma once
// y[i] = fn(i, a[i], b[i], ...) over contiguous tensors, 16 bytes of y at a time where addresses allow it.

#include "cuda/device.cuh"

namespace lathe::cuda {

template <class T>
inline constexpr int kPack = static_cast<int>(16 / sizeof(T));

template <class T>
struct alignas(16) Pack {
  T v[kPack<T>];
};

template <class Y, class Fn, class... X>
__global__ void map_packs(int64_t packs, Fn fn, Pack<Y>* y, const Pack<X>*... x) {
  for (int64_t p = thread_index(); p < packs; p += thread_count()) {
    Pack<Y> out;
    const auto make = [&](const Pack<X>... in) {
      for (int k = 0; k < kPack<Y>; ++k) {
        out.v[k] = static_cast<Y>(fn(p * kPack<Y> + k, static_cast<Arithmetic<X>>(in.v[k])...));
      }
    };
    make(x[p]...);
    y[p] = out;
  }
}

template <class Y, class Fn, class... X>
__global__ void map_elements(int64_t first, int64_t n, Fn fn, Y* y, const X*... x) {
  for (int64_t i = first + thread_index(); i < n; i += thread_count()) {
    y[i] = static_cast<Y>(fn(i, load(x, i)...));
  }
}

/// fn, a struct with a __device__ operator() const, gets elements as Arithmetic<X> and may return any
/// arithmetic type. y may be one of the inputs.
template <class Y, class Fn, class... X>
void map(int64_t n, const Fn& fn, Y* y, const X*... x) {
  int64_t done = 0;
  if constexpr (((sizeof(X) == sizeof(Y)) && ...)) {
    const auto aligned = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
    if (aligned(y) && (aligned(x) && ...)) {
      const int64_t packs = n / kPack<Y>;
      launch(map_packs<Y, Fn, X...>, over(packs), packs, fn, reinterpret_cast<Pack<Y>*>(y),
             reinterpret_cast<const Pack<X>*>(x)...);
      done = packs * kPack<Y>;
    }
  }
  if (done < n) launch(map_elements<Y, Fn, X...>, over(n - done), done, n, fn, y, x...);
}

}  // namespace lathe::cuda
