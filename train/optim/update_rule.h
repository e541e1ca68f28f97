#pragma once
// One optimization algorithm, applied to lists of tensors.

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/kernels/optim.h"
#include "core/registry.h"
#include "core/tensor.h"

namespace lathe {

/// Tensors at the same place of each list belong together. Handles share storage with the parameters.
struct UpdateLists {
  std::vector<Tensor> values;
  std::vector<Tensor> gradients;
  std::vector<std::vector<Tensor>> slots;  ///< one list per slot of the rule
  std::vector<int64_t> steps;              ///< updates of each tensor so far, this one included: from 1
};

/// What gradients are multiplied with: a number, and on a device what a limit of their norm makes of it.
struct GradientScale {
  double factor = 1;
  kernels::DeviceClip clip = {};
};

/// The formula of an optimizer. Stateless: what it remembers stands in slots, tensors of the parameters'
/// shapes that start at first(slot).
class UpdateRule {
 public:
  virtual ~UpdateRule() = default;
  /// Names of the slots, in the order of UpdateLists::slots.
  virtual const std::vector<std::string_view>& slots() const = 0;
  virtual double first(size_t) const { return 0; }
  /// Does update() read UpdateLists::steps?
  virtual bool counts_steps() const { return false; }
  /// Updates values and slots in place; gradients are multiplied by `scale` first.
  virtual void update(UpdateLists& lists, double lr, const GradientScale& scale) const = 0;
};

struct ConfiguredRule {
  std::unique_ptr<UpdateRule> rule;
  double lr = 0;  ///< before any schedule
};

/// The rules by their name in experiment files. Reading a section allows, besides the rule's own fields, the
/// keys in `also_allowed`.
struct RuleEntry {
  std::string name;
  std::string doc;
  std::vector<std::string> fields;
  std::function<ConfiguredRule(const Value& section, const FieldPath& where,
                               const std::vector<std::string_view>& also_allowed)>
      build;
  std::function<Value(const Value& section, const FieldPath& where,
                      const std::vector<std::string_view>& also_allowed)>
      resolve;  ///< the fields with all defaults, without "type"
  std::function<Value()> schema;
};
const std::vector<RuleEntry>& update_rules();

}  // namespace lathe
