#pragma once
// Numbers that follow a run: weights of regularisers, thresholds of freezing.

#include <cstdint>
#include <functional>

#include "core/registry.h"

namespace lathe {

/// Where a run is: `step` of 0 to total_steps - 1 is being made.
struct Moment {
  int64_t step = 0, total_steps = 0;
};

/// `start` until the share `begin` of the steps, then half a cosine to `end` (Nagel et al. 2022; methods.md
/// section 11).
struct CosineRamp {
  double start = 0, end = 1, begin = 0.25;
  void fields(FieldVisitor& v);
  bool begun(const Moment& moment) const;
  double at(const Moment& moment) const;
};

using WeightSchedule = std::function<double(const Moment& moment)>;
/// By name: cosine.
using WeightScheduleRegistry = Registry<WeightSchedule>;
const WeightScheduleRegistry& weight_schedule_registry();

}  // namespace lathe
