#pragma once
// Normalisation layers, over the last axis of channels-last tensors.

#include <optional>

#include "autograd/ops/norm.h"
#include "layers/parameter.h"

namespace lathe {

struct BatchNormConfig {
  double momentum = 0.1;  ///< weight of the new batch in the running statistics
  double eps = 1e-5;
  bool affine = true;
  double initial_weight = 1;
};

/// What follows a normalisation, fused with it: y = relu(norm(x) + residual).
struct Epilogue {
  bool relu = false;
  Var residual = {};  ///< undefined for none
};

/// weight, bias (channels); buffers running_mean, running_var (channels).
class BatchNorm : public Module {
 public:
  BatchNorm(Module& parent, std::string name, int64_t channels, const BatchNormConfig& config = {});
  const char* type() const override { return "BatchNorm"; }

  Var operator()(const Var& x, const Epilogue& epilogue = {});

  /// Of the next call, without relu.
  BatchNormOptions options() const;
  Parameter* weight() { return weight_ ? &*weight_ : nullptr; }
  Parameter* bias() { return bias_ ? &*bias_ : nullptr; }
  Buffer& running_mean() { return running_mean_; }
  Buffer& running_var() { return running_var_; }

 private:
  BatchNormConfig config_;
  std::optional<Parameter> weight_, bias_;
  Buffer running_mean_, running_var_;
};

struct LayerNormConfig {
  double eps = 1e-5;
  bool bias = true;
};

/// weight, bias (features).
class LayerNorm : public Module {
 public:
  LayerNorm(Module& parent, std::string name, int64_t features, const LayerNormConfig& config = {});
  const char* type() const override { return "LayerNorm"; }

  Var operator()(const Var& x);

 private:
  double eps_;
  Parameter weight_;
  std::optional<Parameter> bias_;
};

}  // namespace lathe
