#pragma once
#include <optional>

#include "layers/init.h"
#include "layers/quant_site.h"

namespace lathe {

struct LinearOptions {
  bool bias = true;
  Initializer weight_init = {};  ///< empty: U(+-1/sqrt(in))
  Initializer bias_init = {};    ///< likewise
};

/// weight (out, in), bias (out).
class Linear : public Module {
 public:
  Linear(Module& parent, std::string name, int64_t in, int64_t out, const LinearOptions& options = {});
  const char* type() const override { return "Linear"; }

  Var operator()(const Var& x);  ///< (..., in) -> (..., out)
  /// The layer of gelu(x), plus `residual` (..., out) unless that is undefined, in one op where nothing
  /// stands between.
  Var fused(const Var& x, bool gelu, const Var& residual);

  Parameter& weight() { return weight_; }
  Parameter* bias() { return bias_ ? &*bias_ : nullptr; }
  QuantSite& input() { return input_; }

 private:
  Parameter weight_;
  std::optional<Parameter> bias_;
  QuantSite input_;
};

}  // namespace lathe
