#pragma once
// What is added to the loss because weights are quantized.

#include <memory>
#include <vector>

#include "core/registry.h"
#include "quant/quantizer.h"

namespace lathe {

/// A term over a model's quantizers. It sees each parameter once, tied or not, and the same quantized values
/// as the step's forward.
class Regularizer {
 public:
  virtual ~Regularizer() = default;
  /// ConfigError where the quantizers are not those that it needs. Before training.
  virtual void check(const std::vector<Quantizer*>&) const {}
  /// Weighted, one element; undefined where no quantizer takes part or the weight is 0 at this moment.
  virtual Var term(const std::vector<Quantizer*>& quantizers, const Moment& moment) const = 0;
  /// The term is the same function of the weights at every moment.
  virtual bool steady() const { return true; }
};

/// Regularisers by name: size, oscillation, dampening.
using RegularizerRegistry = Registry<std::unique_ptr<Regularizer>>;
const RegularizerRegistry& regularizer_registry();

/// The "regularizers" list of an experiment. ConfigError.
std::vector<std::unique_ptr<Regularizer>> build_regularizers(const Value& list, const FieldPath& where);
/// The list with all defaults.
Value resolve_regularizers(const Value& list, const FieldPath& where);
Value regularizers_schema();

}  // namespace lathe
