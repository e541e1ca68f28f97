// Quant-Noise, and the history of codes.

#include "quant/math/quant_noise.h"

#include "quant/cpu/groups.h"
#include "quant/kernels.h"
#include "quant/math/oscillation.h"

namespace lathe::kernels::cpu {
namespace {

using quant::Groups;
using quant::PerGroup;

template <class T>
class Mask {
 public:
  explicit Mask(const MaskSource& source)
      : source_(source), given_(source.given.defined() ? source.given.ptr<T>() : nullptr) {}
  bool operator[](int64_t i) const {
    if (given_ != nullptr) return given_[i] != T(0);
    return static_cast<double>(source_.philox.uniform(static_cast<uint64_t>(i))) < source_.p;
  }

 private:
  const MaskSource& source_;
  const T* given_;
};

}  // namespace

void scalar_noise(Tensor& y, const Tensor& w, const Tensor& scale, const Tensor& zero, double levels,
                  const MaskSource& source, int64_t group) {
  dispatch_floating(w.dtype(), "scalar_noise", [&]<class T>() {
    const T* in = w.ptr<T>();
    T* out = y.mut<T>();
    const PerGroup<T> scales(scale), zeros(zero);
    const Mask<T> mask(source);
    quant::for_each_piece(Groups(w.numel(), group), [&](int64_t g, int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i)
        out[i] = quant::scalar_noise_value(in[i], scales[g], zeros[g], static_cast<T>(levels), !mask[i]);
    });
  });
}

void scalar_noise_backward(Tensor& dw, const Tensor& dy, const Tensor& w, const Tensor& scale,
                           const Tensor& zero, double levels, int64_t group) {
  dispatch_floating(w.dtype(), "scalar_noise_backward", [&]<class T>() {
    const T* in = w.ptr<T>();
    const T* grad = dy.ptr<T>();
    T* out = dw.mut<T>();
    const PerGroup<T> scales(scale), zeros(zero);
    quant::for_each_piece(Groups(w.numel(), group), [&](int64_t g, int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i)
        out[i] = grad[i] * quant::scalar_noise_gradient(in[i], scales[g], zeros[g], static_cast<T>(levels));
    });
  });
}

void block_noise(Tensor& y, const Tensor& x, const MaskSource& source, const BlockShape& blocks) {
  dispatch_floating(x.dtype(), "block_noise", [&]<class T>() {
    const T* in = x.ptr<T>();
    T* out = y.mut<T>();
    const Mask<T> mask(source);
    parallel_for(x.numel(), quant::kPiece, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i)
        out[i] = quant::block_noise_value(in[i], static_cast<T>(source.p), mask[blocks.block(i)]);
    });
  });
}

void oscillation_step(Tensor& codes, Tensor& history, double momentum, double threshold) {
  dispatch_floating(codes.dtype(), "oscillation_step", [&]<class T>() {
    T* x = codes.mut<T>();
    auto* of = reinterpret_cast<quant::Oscillation<T>*>(history.mut<T>());
    parallel_for(codes.numel(), quant::kPiece, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i)
        x[i] = quant::oscillation_step(of[i], x[i], static_cast<T>(momentum), static_cast<T>(threshold));
    });
  });
}

}  // namespace lathe::kernels::cpu
