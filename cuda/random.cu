#include <cmath>

#include "core/kernels/random.h"
#include "cuda/dispatch.h"
#include "cuda/packs.cuh"
#include "cuda/step.h"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

/// a b, rounded: not contracted into an addition, so that bits are the host's.
__device__ __forceinline__ double product(double a, double b) {
#if defined(__CUDA_ARCH__)
  return __dmul_rn(a, b);
#else
  return a * b;
#endif
}

template <class T>
struct Uniform {
  double lo, range;
  T* y;

  __device__ void operator()(int64_t i, uint32_t word) const {
    y[i] = static_cast<T>(lo + product(range, static_cast<double>(Philox::to_uniform(word))));
  }
};

template <class T>
struct Mask {
  uint32_t threshold;
  Arithmetic<T> factor;
  T* y;
  const T* x;

  __device__ Arithmetic<T> of(Arithmetic<T> value, uint32_t word) const {
    return word >> 8 >= threshold ? value * factor : Arithmetic<T>(0);
  }
  __device__ void operator()(int64_t i, uint32_t word) const { store(y, i, of(load(x, i), word)); }
};

/// fn(i, word(first + i)) for i < n. A thread draws four words at a time.
template <class Fn>
__global__ void with_words(int64_t n, StepPhilox generator, uint64_t first, Fn fn) {
  const Philox philox = generator.get();
  const auto skip = static_cast<int64_t>(first & 3);
  for (int64_t b = thread_index(); 4 * b < n + skip; b += thread_count()) {
    const Philox::Block block = philox.block((first >> 2) + static_cast<uint64_t>(b));
    for (int k = 0; k < 4; ++k) {
      const int64_t i = 4 * b + k - skip;
      if (i >= 0 && i < n) fn(i, block.word[k]);
    }
  }
}

/// The same with runs of 16 bytes: `first` and n are multiples of W, `packs` is n / W.
template <class T, int W>
__global__ void mask_runs(Run<T, W>* y, const Run<T, W>* x, int64_t packs, StepPhilox generator,
                          uint64_t first, Mask<T> mask) {
  const Philox philox = generator.get();
  for (int64_t p = thread_index(); p < packs; p += thread_count()) {
    const uint64_t word = first + static_cast<uint64_t>(p) * W;
    Run<T, W> run = x[p];
    for (int k = 0; k < W; k += 4) {
      const Philox::Block block = philox.block((word + static_cast<uint64_t>(k)) >> 2);
      for (int j = 0; j < 4; ++j) {
        run.v[k + j] = static_cast<T>(mask.of(static_cast<Arithmetic<T>>(run.v[k + j]), block.word[j]));
      }
    }
    y[p] = run;
  }
}

/// The formula of core/kernels/random.h; log, sqrt and cos are the device's, within two units of the last
/// place of the host's. A block of words gives two elements.
template <class T>
__global__ void normal(T* y, int64_t n, double std, StepPhilox generator) {
  constexpr double kTwoPi = 6.283185307179586477;
  const Philox philox = generator.get();
  for (int64_t b = thread_index(); 2 * b < n; b += thread_count()) {
    const Philox::Block block = philox.block(static_cast<uint64_t>(b));
    for (int k = 0; k < 2; ++k) {
      if (2 * b + k >= n) break;
      const double u = (block.word[2 * k] + 0.5) * 0x1p-32, v = block.word[2 * k + 1] * 0x1p-32;
      y[2 * b + k] = static_cast<T>(std * ::sqrt(-2 * ::log(u)) * ::cos(kTwoPi * v));
    }
  }
}

/// Rows of `packs` runs.
template <class T, int W>
__global__ void scale_rows(Run<T, W>* y, const Run<T, W>* x, int64_t packs, int64_t n, double p,
                           StepPhilox generator, uint64_t first) {
  using V = Arithmetic<T>;
  const Philox philox = generator.get();
  for (int64_t i = thread_index(); i < n; i += thread_count()) {
    const double u = philox.uniform(first + static_cast<uint64_t>(i / packs));
    const V keep = static_cast<V>(::floor(1 - p + u) / (1 - p));
    Run<T, W> run = x[i];
    for (int k = 0; k < W; ++k) run.v[k] = static_cast<T>(static_cast<V>(run.v[k]) * keep);
    y[i] = run;
  }
}

}  // namespace

void fill_uniform(Tensor& y, double lo, double hi, const Philox& philox) {
  dispatch_arithmetic(y.dtype(), "fill_uniform", [&]<class T>() {
    const int64_t n = y.numel();
    launch(with_words<Uniform<T>>, over(n, 4), n, step_philox(philox), 0,
           Uniform<T>{lo, hi - lo, y.mut<T>()});
  });
}

void fill_normal(Tensor& y, double std, const Philox& philox) {
  dispatch_arithmetic(y.dtype(), "fill_normal", [&]<class T>() {
    launch(normal<T>, over(y.numel(), 2), y.mut<T>(), y.numel(), std, step_philox(philox));
  });
}

void dropout(Tensor& y, const Tensor& x, double p, const Philox& philox, uint64_t first) {
  LATHE_ASSERT(y.shape() == x.shape());
  const int64_t n = y.numel();
  // uniform is (word >> 8) 2^-24: comparing integers is exact.
  const auto threshold = static_cast<uint32_t>(std::ceil(p * 0x1p24));
  dispatch_arithmetic(y.dtype(), "dropout", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = y.mut<T>();
    const Mask<T> mask{threshold, static_cast<Arithmetic<T>>(1 / (1 - p)), out, in};
    constexpr int W = kPack<T> < 4 ? 4 : kPack<T>;  // whole blocks of words
    if (n % W == 0 && first % 4 == 0 && aligned_to_16({in, out})) {
      launch(mask_runs<T, W>, over(n / W), runs<W>(out), runs<W>(in), n / W, step_philox(philox), first,
             mask);
    } else {
      launch(with_words<Mask<T>>, over(n, 4), n, step_philox(philox), first, mask);
    }
  });
}

void drop_path(Tensor& y, const Tensor& x, double p, const Philox& philox, uint64_t first) {
  LATHE_ASSERT(y.shape() == x.shape());
  if (x.numel() == 0) return;
  dispatch_arithmetic(y.dtype(), "drop_path", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = y.mut<T>();
    const int64_t row = x.numel() / x.dim(0);
    with_width<T>(row, {in, out}, [&]<int W>() {
      const int64_t n = x.numel() / W;
      launch(scale_rows<T, W>, over(n), runs<W>(out), runs<W>(in), row / W, n, p, step_philox(philox), first);
    });
  });
}

}  // namespace lathe::kernels::cuda
