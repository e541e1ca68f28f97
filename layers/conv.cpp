#include "layers/conv.h"

#include "autograd/ops/conv.h"
#include "autograd/ops/elementwise.h"

namespace lathe {
namespace {

int64_t fan_in(int64_t in, const Conv2dOptions& options) {
  return in / options.groups * options.kernel * options.kernel;
}

ParameterSpec weight_spec(const Module& layer, int64_t in, int64_t out, const Conv2dOptions& options) {
  LATHE_CHECK(ConfigError, in > 0 && out > 0 && options.groups > 0 && options.kernel > 0, layer.describe(),
              ": channels, groups and kernel must be positive, found in ", in, ", out ", out, ", groups ",
              options.groups, ", kernel ", options.kernel);
  LATHE_CHECK(ConfigError, in % options.groups == 0 && out % options.groups == 0, layer.describe(), ": in ",
              in, " and out ", out, " must be multiples of groups ", options.groups);
  return {.shape = {out, options.kernel, options.kernel, in / options.groups},
          .kind = Kind::Weight,
          .init = options.weight_init ? options.weight_init : init::fan_in_uniform(fan_in(in, options)),
          .axes = Axes::ConvWeight};
}

}  // namespace

Conv2d::Conv2d(Module& parent, std::string name, int64_t in, int64_t out, const Conv2dOptions& options)
    : Module(parent, std::move(name)),
      geometry_{.stride_h = options.stride,
                .stride_w = options.stride,
                .pad_h = options.pad,
                .pad_w = options.pad,
                .dilation_h = options.dilation,
                .dilation_w = options.dilation,
                .groups = options.groups},
      weight_(*this, "weight", weight_spec(*this, in, out, options)),
      input_(*this, "input") {
  if (options.bias) {
    const Initializer init =
        options.bias_init ? options.bias_init : init::fan_in_uniform(fan_in(in, options));
    bias_.emplace(*this, "bias", ParameterSpec{.shape = {out}, .kind = Kind::Bias, .init = init});
  }
}

Var Conv2d::operator()(const Var& x) {
  const ErrorScope scope(*this);
  return conv2d(input_(x), cast(weight_.value(), x.dtype()), bias_ ? cast(bias_->value(), x.dtype()) : Var(),
                geometry_);
}

}  // namespace lathe
