// Quant-Noise, and the history of codes.

#include "cuda/quant/groups.cuh"
#include "cuda/step.h"
#include "quant/kernels.h"
#include "quant/math/oscillation.h"
#include "quant/math/quant_noise.h"

namespace lathe::kernels::cuda {
namespace {

using namespace lathe::cuda;

/// Elements or blocks that noise takes. Keeps the four words of the last one that it was asked for:
/// neighbours share them.
template <class T>
class Mask {
 public:
  explicit Mask(const MaskSource& source)
      : philox_(step_philox(source.philox)), p_(source.p), given_(optional_ptr<T>(source.given)) {}
  __device__ bool at(int64_t i) {
    if (given_ != nullptr) return given_[i] != T(0);
    if (held_ != i / 4) {
      held_ = i / 4;
      words_ = philox_.get().block(static_cast<uint64_t>(held_));
    }
    return static_cast<double>(Philox::to_uniform(words_.word[i % 4])) < p_;
  }

 private:
  StepPhilox philox_;
  double p_;
  const T* given_;
  int64_t held_ = -1;
  Philox::Block words_{};
};

template <class T>
struct Levels {
  PerGroup<T> scale, zero;
  T levels;
  Levels(const Tensor& scales, const Tensor& zeros, double most)
      : scale(scales), zero(zeros), levels(static_cast<T>(most)) {}
  struct Shared {
    T scale, zero;
  };
  __device__ Shared group(int64_t g) const { return {scale[g], zero[g]}; }
};

template <class T>
struct ScalarNoise : Levels<T> {
  using typename Levels<T>::Shared;
  Mask<T> mask;
  ScalarNoise(const Levels<T>& of, const MaskSource& source) : Levels<T>(of), mask(source) {}
  __device__ T value(const Shared& s, int64_t i, T w, T) {
    return quant::scalar_noise_value(w, s.scale, s.zero, this->levels, !mask.at(i));
  }
};

template <class T>
struct ScalarNoiseGradient : Levels<T> {
  using Levels<T>::Levels;
  using typename Levels<T>::Shared;
  __device__ T value(const Shared& s, int64_t, T w, T dy) const {
    return dy * quant::scalar_noise_gradient(w, s.scale, s.zero, this->levels);
  }
};

template <class T>
struct BlockNoise {
  Mask<T> mask;
  BlockShape blocks;
  T p;
  BlockNoise(const MaskSource& source, const BlockShape& shape)
      : mask(source), blocks(shape), p(static_cast<T>(source.p)) {}
  __device__ bool group(int64_t) const { return true; }
  __device__ T value(bool, int64_t i, T x, T) {
    return quant::block_noise_value(x, p, mask.at(blocks.block(i)));
  }
};

template <class T>
__global__ void step_histories(int64_t n, T* codes, quant::Oscillation<T>* of, T momentum, T threshold) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) {
    quant::Oscillation<T> one = of[i];
    codes[i] = quant::oscillation_step(one, codes[i], momentum, threshold);
    of[i] = one;
  }
}

}  // namespace

void scalar_noise(Tensor& y, const Tensor& w, const Tensor& scale, const Tensor& zero, double levels,
                  const MaskSource& source, int64_t group) {
  dispatch_floating(w.dtype(), "scalar_noise", [&]<class T>() {
    map_groups(GroupSpan(w.numel(), group), ScalarNoise<T>(Levels<T>(scale, zero, levels), source),
               y.mut<T>(), w.ptr<T>());
  });
}

void scalar_noise_backward(Tensor& dw, const Tensor& dy, const Tensor& w, const Tensor& scale,
                           const Tensor& zero, double levels, int64_t group) {
  dispatch_floating(w.dtype(), "scalar_noise_backward", [&]<class T>() {
    map_groups(GroupSpan(w.numel(), group), ScalarNoiseGradient<T>(scale, zero, levels), dw.mut<T>(),
               w.ptr<T>(), dy.ptr<T>());
  });
}

void block_noise(Tensor& y, const Tensor& x, const MaskSource& source, const BlockShape& blocks) {
  dispatch_floating(x.dtype(), "block_noise", [&]<class T>() {
    map_groups(GroupSpan(x.numel(), 0), BlockNoise<T>(source, blocks), y.mut<T>(), x.ptr<T>());
  });
}

void oscillation_step(Tensor& codes, Tensor& history, double momentum, double threshold) {
  dispatch_floating(codes.dtype(), "oscillation_step", [&]<class T>() {
    auto* of = reinterpret_cast<quant::Oscillation<T>*>(history.mut<T>());
    launch(step_histories<T>, over(codes.numel()), codes.numel(), codes.mut<T>(), of,
           static_cast<T>(momentum), static_cast<T>(threshold));
  });
}

}  // namespace lathe::kernels::cuda
