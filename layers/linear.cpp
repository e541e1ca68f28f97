#include "layers/linear.h"

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"

namespace lathe {
namespace {

ParameterSpec weight_spec(const Module& layer, int64_t in, int64_t out, const LinearOptions& options) {
  LATHE_CHECK(ConfigError, in > 0 && out > 0, layer.describe(), ": features must be positive, found in ", in,
              ", out ", out);
  return {.shape = {out, in},
          .kind = Kind::Weight,
          .init = options.weight_init ? options.weight_init : init::fan_in_uniform(in)};
}

}  // namespace

Linear::Linear(Module& parent, std::string name, int64_t in, int64_t out, const LinearOptions& options)
    : Module(parent, std::move(name)),
      weight_(*this, "weight", weight_spec(*this, in, out, options)),
      input_(*this, "input") {
  if (options.bias) {
    const Initializer fill = options.bias_init ? options.bias_init : init::fan_in_uniform(in);
    bias_.emplace(*this, "bias", ParameterSpec{.shape = {out}, .kind = Kind::Bias, .init = fill});
  }
}

Var Linear::operator()(const Var& x) {
  return fused(x, false, Var());
}

Var Linear::fused(const Var& x, bool gelu, const Var& residual) {
  const ErrorScope scope(*this);
  const bool site = input_.attached() != nullptr;
  const Var in = gelu && site ? lathe::gelu(x) : x;
  return linear(input_(in), cast(weight_.value(), x.dtype()), bias_ ? cast(bias_->value(), x.dtype()) : Var(),
                {.gelu = gelu && !site, .residual = residual});
}

}  // namespace lathe
