#include "train/schedule/warmup.h"

#include <cmath>

namespace lathe {

double WarmupSchedule::rate(double lr, const SchedulePoint& at) const {
  SchedulePoint point = at;
  if (warmup_.per_epoch) point.step -= point.step % point.steps_per_epoch;
  const double per_epoch = static_cast<double>(at.steps_per_epoch);
  const double warmup = warmup_.warmup_steps > 0 ? static_cast<double>(warmup_.warmup_steps)
                                                 : std::round(warmup_.warmup_epochs * per_epoch);
  const double step = static_cast<double>(point.step);
  if (step >= warmup) return after(lr, point, warmup);
  if (warmup_.warmup_from) return *warmup_.warmup_from + (lr - *warmup_.warmup_from) * (step / warmup);
  const double unit = warmup_.per_epoch ? per_epoch : 1;
  return lr * (step + unit) / (warmup + unit);
}

}  // namespace lathe
