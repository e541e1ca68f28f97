#pragma once
#include <optional>

#include "train/schedule/warmup.h"

namespace lathe {

struct PlateauOptions : WarmupOptions {
  std::string metric = "loss";
  std::string mode = "min";
  double factor = 0.1;
  int64_t patience = 10;
  double threshold = 1e-4;
  int64_t cooldown = 0;
  double min_lr = 0;

  void fields(FieldVisitor& v) {
    v.visit("metric", metric, {.doc = "an evaluated metric"});
    v.visit("mode", mode, {.doc = "is a smaller or a larger value better", .choices = {"min", "max"}});
    v.visit("factor", factor, {.doc = "factor of each drop", .min = 0, .max = 1});
    v.visit("patience", patience, {.doc = "evaluations without progress before a drop", .min = 0});
    v.visit("threshold", threshold, {.doc = "share of the best value that counts as progress", .min = 0});
    v.visit("cooldown", cooldown, {.doc = "evaluations after a drop that do not count", .min = 0});
    v.visit("min_lr", min_lr, {.doc = "the rate never drops below", .min = 0});
    WarmupOptions::fields(v);
  }
};

/// The only schedule with state: it follows a metric.
class Plateau : public WarmupSchedule {
 public:
  explicit Plateau(const PlateauOptions& options) : WarmupSchedule(options), options_(options) {}

  std::string watches() const override { return options_.metric; }
  void observe(double value) override;
  Value state() const override;
  void restore(const Value& state) override;

 protected:
  double after(double lr, const SchedulePoint& at, double warmup) const override;

 private:
  bool improves(double value) const;

  PlateauOptions options_;
  std::optional<double> best_;
  int64_t waited_ = 0;
  int64_t cooling_ = 0;
  int64_t drops_ = 0;
};

}  // namespace lathe
