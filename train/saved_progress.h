#pragma once
// What a trainer remembers in state.json beyond the step and the seed.

#include <cstdint>

#include "core/fields.h"
#include "train/tasks.h"

namespace lathe {

struct SavedProgress {
  int64_t steps_per_epoch = 0, epoch = 0, epoch_samples = 0;
  double epoch_loss_sum = 0, train_seconds = 0, seconds = 0;
  Value schedules = Value::array();  ///< a state each, or null
  Value metrics = Value::object();   ///< the latest evaluation's, by name
  void fields(FieldVisitor& v);

  /// JSON has no infinity and no NaN: what it holds null for is NaN.
  Metrics latest_metrics() const;
};

/// CheckpointState::progress, checked. ConfigError naming the key.
SavedProgress read_progress(const Value& progress);

}  // namespace lathe
