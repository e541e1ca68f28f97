// Convolutions of the emulated toolkit: plain loops, sums in f64. It refuses dilated ones, so that the way
// around is tested.

#include <vector>

#include <cuda_emulator.h>

#include "cuda/convolution.h"
#include "cuda/runtime.h"
#include "tests/cuda_emulator/tf32.h"

namespace lathe::cuda {
namespace {

/// fn(index of x, of weights, of y) for every product of the convolution.
template <class Fn>
void each_product(const Convolution& p, Fn&& fn) {
  const int64_t group_c = p.c / p.groups, group_k = p.k / p.groups;
  for (int64_t i = 0; i < p.n * p.oh * p.ow * p.k; ++i) {
    const int64_t k = i % p.k, column = i / p.k % p.ow, row = i / p.k / p.ow % p.oh,
                  image = i / p.k / p.ow / p.oh;
    for (int64_t tap = 0; tap < p.kh * p.kw; ++tap) {
      const int64_t iy = row * p.stride[0] - p.pad[0] + tap / p.kw;
      const int64_t ix = column * p.stride[1] - p.pad[1] + tap % p.kw;
      if (iy < 0 || iy >= p.h || ix < 0 || ix >= p.w) continue;
      const int64_t pixel = ((image * p.h + iy) * p.w + ix) * p.c + k / group_k * group_c;
      for (int64_t c = 0; c < group_c; ++c) fn(pixel + c, (k * p.kh * p.kw + tap) * group_c + c, i);
    }
  }
}

template <class T>
void compute(const Convolution& p, T* x, T* weights, T* y) {
  T* const out = p.result == Convolution::Result::Y ? y : p.result == Convolution::Result::X ? x : weights;
  const int64_t size = p.result == Convolution::Result::Y   ? p.n * p.oh * p.ow * p.k
                       : p.result == Convolution::Result::X ? p.n * p.h * p.w * p.c
                                                            : p.k * p.kh * p.kw * (p.c / p.groups);
  std::vector<double> sums(static_cast<size_t>(size));
  each_product(p, [&](int64_t xi, int64_t wi, int64_t yi) {
    const auto value = [&](const T* from, int64_t i) { return operand(from[i], p.tf32); };
    switch (p.result) {
      case Convolution::Result::Y:
        sums[static_cast<size_t>(yi)] += value(x, xi) * value(weights, wi);
        break;
      case Convolution::Result::X:
        sums[static_cast<size_t>(xi)] += value(y, yi) * value(weights, wi);
        break;
      case Convolution::Result::Weights:
        sums[static_cast<size_t>(wi)] += value(x, xi) * value(y, yi);
        break;
    }
  });
  for (size_t i = 0; i < sums.size(); ++i) out[i] = static_cast<T>(sums[i]);
}

}  // namespace

bool convolution(const Convolution& p, void* x, void* weights, void* y) {
  LATHE_ASSERT(p.dtype == DType::F32 || p.dtype == DType::BF16);
  if (p.dilation != std::array<int64_t, 2>{1, 1}) return false;
  emulator::enqueue(compute_stream(), [=] {
    if (p.dtype == DType::F32) {
      compute(p, static_cast<float*>(x), static_cast<float*>(weights), static_cast<float*>(y));
    } else {
      compute(p, static_cast<bf16*>(x), static_cast<bf16*>(weights), static_cast<bf16*>(y));
    }
  });
  return true;
}

}  // namespace lathe::cuda
