#include "models/efficientnet_blocks.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "layers/init.h"

namespace lathe {
namespace {

Var conv_bn_silu(const ConvBn& layer, const Var& x) {
  return silu(conv_bn_act(layer, x, {}));
}

int64_t rounded(double channels) {
  return static_cast<int64_t>(std::floor(channels + 0.5));
}

int64_t expanded(const Module& block, const EfficientNetBlockOptions& options) {
  const int64_t hidden = rounded(static_cast<double>(options.in) * options.expand);
  LATHE_CHECK(ConfigError, hidden > 0, block.describe(), ": ", options.in, " channels, expanded by ",
              options.expand, ", are none");
  return hidden;
}

/// "se" over `channels`; null where there is none.
std::unique_ptr<SqueezeExcite> squeeze(Module& block, int64_t channels,
                                       const EfficientNetBlockOptions& options) {
  if (options.squeeze <= 0) return nullptr;
  const int64_t reduced = rounded(static_cast<double>(options.in) * options.squeeze);
  return std::make_unique<SqueezeExcite>(block, "se", channels, std::max<int64_t>(1, reduced));
}

}  // namespace

Conv2dOptions efficientnet_conv(int64_t out, int64_t kernel, int64_t stride, int64_t groups) {
  return {.kernel = kernel,
          .stride = stride,
          .pad = (stride - 1 + kernel - 1) / 2,
          .groups = groups,
          .weight_init = init::kaiming_normal(kernel * kernel * out / groups)};
}

LinearOptions efficientnet_linear(int64_t out) {
  return {.weight_init = init::fan_in_uniform(out), .bias_init = init::constant(0)};
}

Var EfficientNetBlock::project(const ConvBn& layer, const DropPath& drop_path, const Var& x,
                               const Var& input) const {
  if (!residual_) return conv_bn_act(layer, x, {});
  if (!drop_path.active()) return conv_bn_act(layer, x, {.residual = input});
  return add(input, drop_path(conv_bn_act(layer, x, {})));
}

DepthwiseSeparable::DepthwiseSeparable(Module& parent, std::string name,
                                       const EfficientNetBlockOptions& options)
    : EfficientNetBlock(parent, std::move(name), options),
      conv_dw(*this, "conv_dw", options.in, options.in,
              efficientnet_conv(options.in, options.kernel, options.stride, options.in)),
      bn1(*this, "bn1", options.in),
      se(squeeze(*this, options.in, options)),
      conv_pw(*this, "conv_pw", options.in, options.out, efficientnet_conv(options.out, 1)),
      bn2(*this, "bn2", options.out),
      drop_path(*this, "drop_path", options.drop_path) {}

Var DepthwiseSeparable::operator()(const Var& x) {
  const ErrorScope scope(*this);
  Var y = conv_bn_silu({conv_dw, bn1}, x);
  if (se) y = (*se)(y);
  return project({conv_pw, bn2}, drop_path, y, x);
}

InvertedResidual::InvertedResidual(Module& parent, std::string name, const EfficientNetBlockOptions& options)
    : EfficientNetBlock(parent, std::move(name), options),
      hidden(expanded(*this, options)),
      conv_pw(*this, "conv_pw", options.in, hidden, efficientnet_conv(hidden, 1)),
      bn1(*this, "bn1", hidden),
      conv_dw(*this, "conv_dw", hidden, hidden,
              efficientnet_conv(hidden, options.kernel, options.stride, hidden)),
      bn2(*this, "bn2", hidden),
      se(squeeze(*this, hidden, options)),
      conv_pwl(*this, "conv_pwl", hidden, options.out, efficientnet_conv(options.out, 1)),
      bn3(*this, "bn3", options.out),
      drop_path(*this, "drop_path", options.drop_path) {}

Var InvertedResidual::operator()(const Var& x) {
  const ErrorScope scope(*this);
  Var y = conv_bn_silu({conv_dw, bn2}, conv_bn_silu({conv_pw, bn1}, x));
  if (se) y = (*se)(y);
  return project({conv_pwl, bn3}, drop_path, y, x);
}

}  // namespace lathe
