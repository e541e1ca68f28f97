#pragma once
// Convolutions along time, channels last.

#include <optional>

#include "autograd/ops/conv.h"
#include "layers/init.h"
#include "layers/quant_site.h"

namespace lathe {

/// With a bias, unlike Conv2d: no norm follows these.
struct Conv1dOptions {
  int64_t kernel = 1, stride = 1, pad = 0, dilation = 1, groups = 1;
  bool bias = true;
  Initializer weight_init = {};  ///< empty: U(+-1/sqrt(fan_in))
  Initializer bias_init = {};    ///< likewise
};

/// weight (out, kernel, in / groups), bias (out).
class Conv1d : public Module {
 public:
  Conv1d(Module& parent, std::string name, int64_t in, int64_t out, const Conv1dOptions& options = {});
  const char* type() const override { return "Conv1d"; }

  Var operator()(const Var& x);  ///< (N, T, in) -> (N, OT, out)

  Parameter& weight() { return weight_; }
  Parameter* bias() { return bias_ ? &*bias_ : nullptr; }

 private:
  Conv1dGeometry geometry_;
  Parameter weight_;
  std::optional<Parameter> bias_;
  QuantSite input_;
};

struct ConvTranspose1dOptions {
  int64_t kernel = 1, stride = 1, pad = 0, output_padding = 0, dilation = 1, groups = 1;
  bool bias = true;
  Initializer weight_init = {};  ///< empty: U(+-1/sqrt(out / groups * kernel)), PyTorch's fan_in
  Initializer bias_init = {};    ///< likewise
};

/// weight (in, kernel, out / groups), bias (out).
class ConvTranspose1d : public Module {
 public:
  ConvTranspose1d(Module& parent, std::string name, int64_t in, int64_t out,
                  const ConvTranspose1dOptions& options = {});
  const char* type() const override { return "ConvTranspose1d"; }

  Var operator()(const Var& x);  ///< (N, T, in) -> (N, (T - 1) stride + kernel, out) without padding

  Parameter& weight() { return weight_; }
  Parameter* bias() { return bias_ ? &*bias_ : nullptr; }

 private:
  ConvTranspose1dGeometry geometry_;
  Parameter weight_;
  std::optional<Parameter> bias_;
  QuantSite input_;
};

}  // namespace lathe
