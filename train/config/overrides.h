#pragma once
// Changes to an experiment from the command line: --set a.b=v.

#include <string_view>

#include "core/value.h"

namespace lathe {

/// Applies one change "PATH=VALUE" to an experiment's object. Keys that are missing on the way are made, from
/// `defaults` where it has the first of them; whoever reads the result refuses those that mean nothing.
/// ConfigError, naming the change, for a path without "=", an empty part, an index outside its list, or a
/// path through a plain value.
void apply_override(Value& root, std::string_view set, const Value& defaults);

}  // namespace lathe
