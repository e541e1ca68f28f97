#include "layers/norm.h"

#include "layers/init.h"

namespace lathe {
namespace {

ParameterSpec norm_spec(int64_t channels, double value) {
  return {.shape = {channels}, .kind = Kind::Norm, .init = init::constant(value)};
}

}  // namespace

BatchNorm::BatchNorm(Module& parent, std::string name, int64_t channels, const BatchNormConfig& config)
    : Module(parent, std::move(name)),
      config_(config),
      running_mean_(*this, "running_mean", {channels}, 0),
      running_var_(*this, "running_var", {channels}, 1) {
  if (config.affine) {
    weight_.emplace(*this, "weight", norm_spec(channels, config.initial_weight));
    bias_.emplace(*this, "bias", norm_spec(channels, 0));
  }
}

BatchNormOptions BatchNorm::options() const {
  const double measured = run().statistics_momentum;
  return {.training = training() || measured > 0,
          .momentum = measured > 0 ? measured : config_.momentum,
          .eps = config_.eps};
}

Var BatchNorm::operator()(const Var& x, const Epilogue& epilogue) {
  const ErrorScope scope(*this);
  BatchNormOptions with_relu = options();
  with_relu.relu = epilogue.relu;
  return batch_norm(x, weight_ ? weight_->value() : Var(), bias_ ? bias_->value() : Var(),
                    running_mean_.data(), running_var_.data(), with_relu, epilogue.residual);
}

LayerNorm::LayerNorm(Module& parent, std::string name, int64_t features, const LayerNormConfig& config)
    : Module(parent, std::move(name)), eps_(config.eps), weight_(*this, "weight", norm_spec(features, 1)) {
  if (config.bias) bias_.emplace(*this, "bias", norm_spec(features, 0));
}

Var LayerNorm::operator()(const Var& x) {
  const ErrorScope scope(*this);
  return layer_norm(x, weight_.value(), bias_ ? bias_->value() : Var(), eps_);
}

}  // namespace lathe
