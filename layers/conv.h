#pragma once
#include <optional>

#include "core/kernels/conv.h"
#include "layers/init.h"
#include "layers/quant_site.h"

namespace lathe {

/// Square kernels. No bias by default: most convolutions stand before a batch norm.
struct Conv2dOptions {
  int64_t kernel = 1, stride = 1, pad = 0, dilation = 1, groups = 1;
  bool bias = false;
  Initializer weight_init = {};  ///< empty: U(+-1/sqrt(fan_in))
  Initializer bias_init = {};    ///< likewise
};

/// weight (out, kernel, kernel, in / groups), bias (out).
class Conv2d : public Module {
 public:
  Conv2d(Module& parent, std::string name, int64_t in, int64_t out, const Conv2dOptions& options = {});
  const char* type() const override { return "Conv2d"; }

  Var operator()(const Var& x);  ///< (N, H, W, in) -> (N, OH, OW, out)

  Parameter& weight() { return weight_; }
  Parameter* bias() { return bias_ ? &*bias_ : nullptr; }
  QuantSite& input() { return input_; }
  const Conv2dGeometry& geometry() const { return geometry_; }

 private:
  Conv2dGeometry geometry_;
  Parameter weight_;
  std::optional<Parameter> bias_;
  QuantSite input_;
};

}  // namespace lathe
