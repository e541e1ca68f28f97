#pragma once
// An activation quantizer: what stands between a layer's input and what the layer multiplies.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/registry.h"
#include "layers/parameter.h"
#include "layers/quant_site.h"

namespace lathe {

/// A child of its site, so that its parameters and ranges are named, saved and averaged like any others
/// ("layer1.0.conv1.input.lsq.step_size"). Training adapts its range to the first batch or to all of them;
/// evaluation takes the range as it is. Its parameters and buffers are stored in the packed file as they are.
class ActivationQuantizer : public Module, public ActivationParametrization {
 public:
  ActivationQuantizer(QuantSite& site, const std::string& method, int bits);
  const char* type() const override { return method_.c_str(); }
  const std::string& method() const { return method_; }
  int bits() const { return bits_; }

  /// ConfigError in evaluation before any training batch.
  Var apply(const Var& x, const RunState& run, uint32_t stream) final;
  /// Evaluation adapts the range too: calibration of a trained model.
  void set_observing(bool observing) { observing_ = observing; }
  /// After the optimizer's step: keeps own parameters where they mean something.
  virtual void after_update() {}
  /// As Quantizer::steady.
  virtual bool steady() const { return true; }
  /// A first batch has come, here or before a resume: the range means something.
  bool begun();

 protected:
  /// Of a training batch, before it is quantized; `first` for the first one.
  virtual void observe(const Tensor& x, bool first) = 0;
  /// x's values on the grid of the range as it is.
  virtual Var quantize(const Var& x) const = 0;

 private:
  std::string method_;
  int bits_;
  bool observing_ = false;
  Buffer batches_;  ///< training batches seen, as far as 1
  Tensor looked_;   ///< batches_ when it was last seen to be 1: nobody waits for a device in every step
  uint64_t version_ = 0;
};

/// Activation quantizers by name. An option struct each, one file of quant/activations/.
using ActivationRegistry = Registry<std::shared_ptr<ActivationQuantizer>, QuantSite&>;
const ActivationRegistry& activation_registry();

/// The inputs of layers that multiply, in the order of the module tree.
std::vector<QuantSite*> quant_sites(const Module& model);
/// Every activation quantizer of a model, in the order of its sites.
std::vector<ActivationQuantizer*> activation_quantizers_of(const Module& model);
/// Bits of the quantized inputs of layers, by the site's path ("layer1.0.conv1.input").
std::map<std::string, double> activation_bits(const Module& model);

}  // namespace lathe
