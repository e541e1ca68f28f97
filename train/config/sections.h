#pragma once
// The sections of an experiment file that a registry reads.

#include <functional>
#include <span>
#include <string_view>

#include "train/config/experiment.h"

namespace lathe {

struct Section {
  std::string_view key;
  Value Experiment::*member;
  /// With all defaults; ConfigError when the section's registry cannot read it.
  std::function<Value(const Value& section, const FieldPath& where)> resolve;
  std::function<Value()> schema;  ///< one of the registry's entries
};

/// data, model, quant, regularizers, loss, optimizer, schedule.
std::span<const Section> experiment_sections();

}  // namespace lathe
