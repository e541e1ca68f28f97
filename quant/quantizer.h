#pragma once
// A weight quantizer: what stands between a parameter's raw values and what its layer multiplies with.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/registry.h"
#include "layers/parameter.h"
#include "quant/codes.h"
#include "quant/grouping.h"
#include "quant/kernels.h"
#include "quant/weight_schedule.h"

namespace lathe {

/// Shares of a tensor's weights.
struct Oscillations {
  double oscillating = 0;  ///< those whose code turns back more often than a cutoff
  double frozen = 0;
};

/// A child of the module that owns the parameter, named after it ("weight_lsq"), so that its own parameters
/// are named, saved and optimised like any others; they keep out of sizes by their Role. Training multiplies
/// with train(), evaluation with decode(encode(raw)): what is evaluated is what is stored.
class Quantizer : public Module, public Parametrization {
 public:
  /// What the quantizer of a parameter is made from. The parameter outlives it.
  struct Site {
    Module& owner;
    Parameter& parameter;
    bool forward = true;  ///< training multiplies with the quantized weight; false: only regularisers see it
  };

  Quantizer(const Site& site, const std::string& method);
  const char* type() const override { return method_.c_str(); }
  const std::string& method() const { return method_; }
  const Parameter& parameter() const { return parameter_; }
  Parameter& parameter() { return parameter_; }

  Var apply(const Var& raw, const RunState& run, uint32_t stream) final;
  bool in_training_forward() const override { return forward_; }

  /// Own parameters from the parameter's values: before training, once these are what training starts from.
  virtual void initialise() {}
  /// `raw` as codes, on the host.
  virtual Codes encode(const Tensor& raw) const = 0;
  /// Bits of the codes and of what tells groups' widths apart, summed over the tensor; a function of own
  /// parameters where widths are learned. `raw` is the parameter's.
  virtual Var size_in_bits(const Var& raw) const = 0;
  /// What training multiplies with, or regularisers see of it, are values of whole codes: it is neither the
  /// raw weight nor that with noise.
  virtual bool rounds() const { return true; }
  /// Where training rounds to step * q, grid.lo <= q <= grid.hi: what dampening needs; nothing elsewhere.
  struct StepGrid {
    Var step;  ///< one element, or one for each group
    kernels::LsqGrid grid;
    Grouping grouping;
  };
  virtual std::optional<StepGrid> step_grid() const { return {}; }
  /// What scales and learned widths are kept within: for figures about a model.
  struct Limits {
    float least_scale = 0;              ///< a scale that is not above is at its floor; 0: there is none
    int least_bits = 0, most_bits = 0;  ///< of learned widths; 0: they are not learned
  };
  virtual Limits limits() const { return {}; }
  /// Shares of oscillating (more often than `cutoff`) and frozen weights, where codes are tracked:
  /// quant/tracking.h.
  virtual std::optional<Oscillations> oscillations(double cutoff) const;
  /// Training forwards do the same work in every step; the host decides nothing on the way.
  virtual bool steady() const { return true; }
  /// Between backward and the optimizer's step.
  virtual void before_update(const Moment& moment);
  /// After it: keeps own parameters where they mean something.
  virtual void after_update() {}

 protected:
  /// The surrogate that training multiplies with. Noise element i is Philox{run.seed, stream, run.step}'s.
  virtual Var train(const Var& raw, const RunState& run, uint32_t stream) = 0;

 private:
  std::string method_;
  Parameter& parameter_;
  bool forward_;
};

/// Quantizers by name. A quantizer's options are one struct, its file one of quant/methods/.
using QuantizerRegistry = Registry<std::shared_ptr<Quantizer>, const Quantizer::Site&>;
const QuantizerRegistry& quantizer_registry();

/// Every quantizer of a model, each once, in the order of its parameters.
std::vector<Quantizer*> quantizers_of(const Module& model);
/// The model's buffers without those of its quantizers. The latter are state of a run: saved and resumed like
/// the others, but never averaged or counted; those of activations are packed.
std::vector<Buffer*> model_buffers(const Module& model);

}  // namespace lathe
