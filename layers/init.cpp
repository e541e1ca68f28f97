#include "layers/init.h"

#include <algorithm>
#include <cmath>

#include "core/kernels/random.h"

namespace lathe::init {

Initializer constant(double value) {
  return [value](Tensor& tensor, const Philox&) {
    std::fill_n(tensor.mut<float>(), tensor.numel(), static_cast<float>(value));
  };
}

Initializer uniform(double bound) {
  return
      [bound](Tensor& tensor, const Philox& philox) { kernels::fill_uniform(tensor, -bound, bound, philox); };
}

Initializer normal(double std) {
  return [std](Tensor& tensor, const Philox& philox) { kernels::fill_normal(tensor, std, philox); };
}

Initializer truncated_normal(double std) {
  constexpr float kBound = 2;  // absolute, as in timm 0.3.2
  return [std](Tensor& tensor, const Philox& philox) {
    kernels::fill_normal(tensor, std, philox);
    const auto outside = [](float x) { return std::abs(x) > kBound; };
    float* x = tensor.mut<float>();
    // Attempt k of an element comes from step k of the stream.
    for (uint32_t attempt = 1; std::any_of(x, x + tensor.numel(), outside); ++attempt) {
      Tensor again = tensor.empty_like();
      kernels::fill_normal(again, std, philox.at(attempt));
      const float* y = again.ptr<float>();
      std::transform(x, x + tensor.numel(), y, x,
                     [&](float old, float fresh) { return outside(old) ? fresh : old; });
    }
  };
}

Initializer fan_in_uniform(int64_t fan_in) {
  return uniform(1.0 / std::sqrt(static_cast<double>(fan_in)));
}

Initializer kaiming_normal(int64_t fan) {
  return normal(std::sqrt(2.0 / static_cast<double>(fan)));
}

Initializer xavier_uniform(int64_t fan_in, int64_t fan_out, double gain) {
  return uniform(gain * std::sqrt(6.0 / static_cast<double>(fan_in + fan_out)));
}

}  // namespace lathe::init
