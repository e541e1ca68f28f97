#include "layers/squeeze_excite.h"

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/shape.h"
#include "layers/init.h"

namespace lathe {
namespace {

Conv2dOptions pointwise(int64_t out) {
  return {.bias = true, .weight_init = init::kaiming_normal(out), .bias_init = init::constant(0)};
}

}  // namespace

SqueezeExcite::SqueezeExcite(Module& parent, std::string name, int64_t channels, int64_t reduced)
    : Module(parent, std::move(name)),
      conv_reduce_(*this, "conv_reduce", channels, reduced, pointwise(reduced)),
      conv_expand_(*this, "conv_expand", reduced, channels, pointwise(channels)) {}

Var SqueezeExcite::operator()(const Var& x) {
  const ErrorScope scope(*this);
  const Var mean = reshape(global_avg_pool2d(x), {x.dim(0), 1, 1, x.dim(3)});
  return mul(x, sigmoid(conv_expand_(silu(conv_reduce_(mean)))));
}

}  // namespace lathe
