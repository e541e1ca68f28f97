#include "layers/conv1d.h"

#include "autograd/ops/elementwise.h"

namespace lathe {
namespace {

void check_sizes(const Module& layer, int64_t in, int64_t out, int64_t kernel, int64_t groups) {
  LATHE_CHECK(ConfigError, in > 0 && out > 0 && groups > 0 && kernel > 0, layer.describe(),
              ": channels, groups and kernel must be positive, found in ", in, ", out ", out, ", groups ",
              groups, ", kernel ", kernel);
  LATHE_CHECK(ConfigError, in % groups == 0 && out % groups == 0, layer.describe(), ": in ", in, " and out ",
              out, " must be multiples of groups ", groups);
}

Initializer or_default(const Initializer& init, int64_t fan_in) {
  return init ? init : init::fan_in_uniform(fan_in);
}

ParameterSpec conv_spec(const Module& layer, int64_t in, int64_t out, const Conv1dOptions& o) {
  check_sizes(layer, in, out, o.kernel, o.groups);
  return {.shape = {out, o.kernel, in / o.groups},
          .kind = Kind::Weight,
          .init = or_default(o.weight_init, in / o.groups * o.kernel),
          .axes = Axes::ConvWeight};
}

ParameterSpec transpose_spec(const Module& layer, int64_t in, int64_t out, const ConvTranspose1dOptions& o) {
  check_sizes(layer, in, out, o.kernel, o.groups);
  return {.shape = {in, o.kernel, out / o.groups},
          .kind = Kind::Weight,
          .init = or_default(o.weight_init, out / o.groups * o.kernel),
          .axes = Axes::ConvTranspose};
}

ParameterSpec bias_spec(int64_t out, const Initializer& init, int64_t fan_in) {
  return {.shape = {out}, .kind = Kind::Bias, .init = or_default(init, fan_in)};
}

Var bias_as(std::optional<Parameter>& bias, DType dtype) {
  return bias ? cast(bias->value(), dtype) : Var();
}

}  // namespace

Conv1d::Conv1d(Module& parent, std::string name, int64_t in, int64_t out, const Conv1dOptions& options)
    : Module(parent, std::move(name)),
      geometry_{.stride = options.stride,
                .padding = options.pad,
                .dilation = options.dilation,
                .groups = options.groups},
      weight_(*this, "weight", conv_spec(*this, in, out, options)),
      input_(*this, "input") {
  if (options.bias)
    bias_.emplace(*this, "bias", bias_spec(out, options.bias_init, in / options.groups * options.kernel));
}

Var Conv1d::operator()(const Var& x) {
  const ErrorScope scope(*this);
  return conv1d(input_(x), cast(weight_.value(), x.dtype()), bias_as(bias_, x.dtype()), geometry_);
}

ConvTranspose1d::ConvTranspose1d(Module& parent, std::string name, int64_t in, int64_t out,
                                 const ConvTranspose1dOptions& options)
    : Module(parent, std::move(name)),
      geometry_{.stride = options.stride,
                .padding = options.pad,
                .dilation = options.dilation,
                .groups = options.groups,
                .output_padding = options.output_padding},
      weight_(*this, "weight", transpose_spec(*this, in, out, options)),
      input_(*this, "input") {
  if (options.bias)
    bias_.emplace(*this, "bias", bias_spec(out, options.bias_init, out / options.groups * options.kernel));
}

Var ConvTranspose1d::operator()(const Var& x) {
  const ErrorScope scope(*this);
  return conv_transpose1d(input_(x), cast(weight_.value(), x.dtype()), bias_as(bias_, x.dtype()), geometry_);
}

}  // namespace lathe
