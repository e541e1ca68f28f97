#pragma once
// The list "quant.activations": which layers' inputs get which quantizer.

#include "quant/activation.h"
#include "quant/attach.h"

namespace lathe {

/// Attaches a quantizer to each site whose first matching rule names one: rules match the site's full name
/// ("layer1.0.conv1.input"). A row for every site; none for an empty list. ConfigError naming the line for a
/// rule that decides about no site.
std::vector<AttachRow> attach_activations(Module& model, const Value& rules, const FieldPath& where);

/// The list with all defaults. ConfigError as above but for what needs a model.
Value resolve_activations(const Value& rules, const FieldPath& where);
/// JSON Schema of the list.
Value activations_schema();

}  // namespace lathe
