#pragma once
// Which parameter gets which quantizer: the "quant" section of an experiment.

#include <string>
#include <vector>

#include "core/fields.h"
#include "quant/quantizer.h"

namespace lathe {

/// What became of one parameter, or of one layer's input.
struct AttachRow {
  std::string parameter;  ///< or the input's site
  Shape shape;
  std::string method;  ///< "none" where it stays float
  std::string why;     ///< the rule that decided: "quant.rules[1]", or "no rule matches"
  Value options;       ///< of the method with all defaults; null for "none"
  bool activation = false;
};
Value to_value(const std::vector<AttachRow>& table);
/// For people: a line for each method and rule with the number of its parameters.
std::string summarize(const std::vector<AttachRow>& table);

/// Attaches a quantizer to each parameter whose first matching rule names one. Rules match a parameter's full
/// name (`match`, * and ? are wild), `kind` and `min_numel`. Quantizers' own parameters are matched by none;
/// a tied parameter has the quantizer of its owner. ConfigError naming the line for a rule that decides about
/// no parameter, and for a section that quantizes nothing. `activations` likewise decide about the inputs of
/// layers (quant/attach_activations.h). A null section attaches nothing and gives an empty table.
std::vector<AttachRow> attach_quantizers(Module& model, const Value& section, const FieldPath& where);

/// The section with all defaults; null for null. ConfigError as above but for what needs a model.
Value resolve_quant(const Value& section, const FieldPath& where);
/// JSON Schema of the section.
Value quant_schema();

}  // namespace lathe
