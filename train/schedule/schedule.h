#pragma once
// Learning rates over time.

#include <cstdint>
#include <memory>
#include <string>

#include "core/registry.h"

namespace lathe {

/// A moment of a run. Epochs are counted as step / steps_per_epoch.
struct SchedulePoint {
  int64_t step = 0;  ///< of the update about to be made, from 0
  int64_t steps_per_epoch = 1;
  int64_t total_steps = 1;  ///< of the whole run

  double epoch() const { return static_cast<double>(step) / static_cast<double>(steps_per_epoch); }
};

/// Turns a group's learning rate into the rate of one step. A pure function, apart from `plateau`, whose
/// small state is saved in checkpoints.
class Schedule {
 public:
  virtual ~Schedule() = default;
  virtual double rate(double lr, const SchedulePoint& at) const = 0;

  /// Name of the evaluated metric observe() wants; empty for none.
  virtual std::string watches() const { return {}; }
  /// A metric's value after an evaluation.
  virtual void observe(double) {}
  /// Null for schedules without state.
  virtual Value state() const { return {}; }
  virtual void restore(const Value&) {}
};

using ScheduleRegistry = Registry<std::unique_ptr<Schedule>>;
/// constant step multistep cosine cosine_restarts inverse_sqrt one_cycle plateau
const ScheduleRegistry& schedule_registry();

}  // namespace lathe
