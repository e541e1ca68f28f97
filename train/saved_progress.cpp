#include "train/saved_progress.h"

#include <limits>

#include "core/error.h"

namespace lathe {
namespace {

void expect(const Value& value, Value::Type type, const FieldPath& where) {
  if (value.is(type)) return;
  config_error(where, value.line(), concat("expected ", describe(type), ", found ", describe(value)));
}

}  // namespace

void SavedProgress::fields(FieldVisitor& v) {
  v.visit("steps_per_epoch", steps_per_epoch, {.doc = "of the run", .required = true});
  v.visit("epoch", epoch, {.doc = "epochs finished"});
  v.visit("epoch_loss_sum", epoch_loss_sum, {.doc = "over the epoch's samples", .required = true});
  v.visit("epoch_samples", epoch_samples, {.doc = "whose losses it sums", .required = true});
  v.visit("schedules", schedules, {.doc = "state of each; null: none", .required = true});
  v.visit("metrics", metrics, {.doc = "the latest evaluation's", .required = true});
  v.visit("train_seconds", train_seconds, {.doc = "in steps", .required = true});
  v.visit("seconds", seconds, {.doc = "in all", .required = true});
}

Metrics SavedProgress::latest_metrics() const {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  Metrics latest;
  for (const auto& [name, value] : metrics.members())
    latest.push_back({name, value.is_number() ? value.as_real() : kNone});
  return latest;
}

SavedProgress read_progress(const Value& progress) {
  const FieldPath where{"state.json", "progress"};
  SavedProgress saved;
  read_fields(saved, progress, where);
  expect(saved.schedules, Value::Type::Array, where / "schedules");
  expect(saved.metrics, Value::Type::Object, where / "metrics");
  for (const auto& [name, value] : saved.metrics.members()) {
    if (!value.is(Value::Type::Null) && !value.is_number())
      expect(value, Value::Type::Real, where / "metrics" / name);
  }
  return saved;
}

}  // namespace lathe
