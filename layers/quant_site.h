#pragma once
// Where activation quantizers plug in: the input of a layer that multiplies.

#include <memory>

#include "autograd/ops/elementwise.h"
#include "autograd/var.h"
#include "layers/module.h"

namespace lathe {

/// Maps the activations at a site to what the layer multiplies with.
class ActivationParametrization {
 public:
  virtual ~ActivationParametrization() = default;
  /// Records ops on `x`. `stream` is the site's named Philox stream.
  virtual Var apply(const Var& x, const RunState& run, uint32_t stream) = 0;
};

/// A named place in the model ("layer1.0.conv1.input"), the identity until something is attached. A module,
/// so that an attached quantizer can be its child and own ranges; alone it has no state.
class QuantSite : public Module {
 public:
  using Module::Module;
  const char* type() const override { return "QuantSite"; }

  Var operator()(const Var& x) const {
    if (attached_ == nullptr) return x;
    const DType exact = root_options().dtype;  // quantizers compute in the parameters' type
    return cast(attached_->apply(cast(x, exact), run(), stream("noise")), x.dtype());
  }
  void attach(std::shared_ptr<ActivationParametrization> parametrization) {
    attached_ = std::move(parametrization);
  }
  const std::shared_ptr<ActivationParametrization>& attached() const { return attached_; }

 private:
  std::shared_ptr<ActivationParametrization> attached_;
};

}  // namespace lathe
