#pragma once
#include "layers/blocks.h"

namespace lathe {

/// A convolution without bias "conv" and the batch norm behind it, "bn".
struct ConvBnUnit : Module {
  ConvBnUnit(Module& parent, std::string name, int64_t in, int64_t out, const Conv2dOptions& options,
             const BatchNormConfig& norm = {})
      : Module(parent, std::move(name)), conv(*this, "conv", in, out, options), bn(*this, "bn", out, norm) {}
  const char* type() const override { return "ConvBnUnit"; }

  Var operator()(const Var& x, const Epilogue& epilogue = {}) { return conv_bn_act({conv, bn}, x, epilogue); }

  Conv2d conv;
  BatchNorm bn;
};

}  // namespace lathe
