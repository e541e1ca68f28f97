#pragma once
// Squeeze and excitation (Hu et al. 2018), as EfficientNet uses it.

#include "layers/conv.h"

namespace lathe {

/// x sigmoid(conv_expand(silu(conv_reduce(m)))), m the mean of each channel over the map; both 1x1 with bias.
/// Weights start from N(0, 2 / out), biases from 0.
class SqueezeExcite : public Module {
 public:
  SqueezeExcite(Module& parent, std::string name, int64_t channels, int64_t reduced);
  const char* type() const override { return "SqueezeExcite"; }

  Var operator()(const Var& x);  ///< (N, H, W, channels) -> the same

 private:
  Conv2d conv_reduce_, conv_expand_;
};

}  // namespace lathe
