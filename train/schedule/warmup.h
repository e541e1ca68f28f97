#pragma once
// Linear warm-up in front of any schedule.

#include <optional>

#include "train/schedule/schedule.h"

namespace lathe {

struct WarmupOptions {
  double warmup_epochs = 0;
  int64_t warmup_steps = 0;
  std::optional<double> warmup_from;
  bool per_epoch = false;

  void fields(FieldVisitor& v) {
    v.visit("warmup_epochs", warmup_epochs, {.doc = "length of the linear warm-up in epochs", .min = 0});
    v.visit("warmup_steps", warmup_steps, {.doc = "the same in steps", .min = 0});
    v.visit("warmup_from", warmup_from,
            {.doc = "learning rate of step 0, rising by s / W; null: step s of W has (s + 1) / (W + 1) of lr",
             .min = 0});
    v.visit("per_epoch", per_epoch, {.doc = "keep the rate constant during an epoch"});
  }
};

/// Answers the warm-up and leaves the rest to after().
class WarmupSchedule : public Schedule {
 public:
  explicit WarmupSchedule(const WarmupOptions& options) : warmup_(options) {}

  double rate(double lr, const SchedulePoint& at) const final;

 protected:
  /// The rate once `warmup` steps are over. `at.step` is the first of the epoch when rates are per epoch.
  virtual double after(double lr, const SchedulePoint& at, double warmup) const = 0;

 private:
  WarmupOptions warmup_;
};

}  // namespace lathe
