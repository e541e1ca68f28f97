#include "quant/weight_schedule.h"

#include <cmath>
#include <numbers>

namespace lathe {

void CosineRamp::fields(FieldVisitor& v) {
  v.visit("start", start, {.doc = "value until the share `begin` of the steps", .min = 0});
  v.visit("end", end, {.doc = "value at the end of the run", .min = 0});
  v.visit("begin", begin, {.doc = "share of the steps before the value moves", .min = 0, .max = 1});
}

bool CosineRamp::begun(const Moment& moment) const {
  return static_cast<double>(moment.step) >= begin * static_cast<double>(moment.total_steps);
}

double CosineRamp::at(const Moment& moment) const {
  const double total = static_cast<double>(moment.total_steps), first = begin * total;
  if (!begun(moment) || !(total > first)) return start;
  const double progress = (static_cast<double>(moment.step) - first) / (total - first);
  return end + 0.5 * (start - end) * (1 + std::cos(std::numbers::pi * progress));
}

const WeightScheduleRegistry& weight_schedule_registry() {
  static const WeightScheduleRegistry registry(
      "schedule of a weight",
      {make_entry<WeightSchedule>("cosine", "a constant, then half a cosine", CosineRamp(),
                                  [](const CosineRamp& ramp) -> WeightSchedule {
                                    return [ramp](const Moment& moment) { return ramp.at(moment); };
                                  })});
  return registry;
}

}  // namespace lathe
