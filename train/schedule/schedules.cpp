#include <algorithm>
#include <cmath>
#include <numbers>

#include "train/schedule/plateau.h"
#include "train/schedule/warmup.h"

namespace lathe {
namespace {

/// From `from` at progress 0 to `to` at progress 1 along half a cosine.
double cosine_between(double from, double to, double progress) {
  return to + (from - to) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

struct ConstantOptions : WarmupOptions {};

class Constant : public WarmupSchedule {
 public:
  explicit Constant(const ConstantOptions& options) : WarmupSchedule(options) {}

 protected:
  double after(double lr, const SchedulePoint&, double) const override { return lr; }
};

struct StepOptions : WarmupOptions {
  double every = 30;
  double gamma = 0.1;
  void fields(FieldVisitor& v) {
    v.visit("every", every, {.doc = "epochs between two drops", .min = 0, .above_min = true});
    v.visit("gamma", gamma, {.doc = "factor of each drop", .min = 0});
    WarmupOptions::fields(v);
  }
};

class Step : public WarmupSchedule {
 public:
  explicit Step(const StepOptions& options) : WarmupSchedule(options), options_(options) {}

 protected:
  double after(double lr, const SchedulePoint& at, double) const override {
    return lr * std::pow(options_.gamma, std::floor(at.epoch() / options_.every));
  }

 private:
  StepOptions options_;
};

struct MultistepOptions : WarmupOptions {
  std::vector<double> milestones;
  double gamma = 0.1;
  void fields(FieldVisitor& v) {
    v.visit("milestones", milestones, {.doc = "epochs at which the rate drops", .min = 0, .required = true});
    v.visit("gamma", gamma, {.doc = "factor of each drop", .min = 0});
    WarmupOptions::fields(v);
  }
};

class Multistep : public WarmupSchedule {
 public:
  explicit Multistep(const MultistepOptions& options) : WarmupSchedule(options), options_(options) {}

 protected:
  double after(double lr, const SchedulePoint& at, double) const override {
    const auto passed = std::count_if(options_.milestones.begin(), options_.milestones.end(),
                                      [&](double milestone) { return at.epoch() >= milestone; });
    return lr * std::pow(options_.gamma, static_cast<double>(passed));
  }

 private:
  MultistepOptions options_;
};

struct CosineOptions : WarmupOptions {
  double min_lr = 0;
  bool under_warmup = false;
  void fields(FieldVisitor& v) {
    v.visit("min_lr", min_lr, {.doc = "rate at the end of the run", .min = 0});
    v.visit("under_warmup", under_warmup,
            {.doc = "the cosine begins at step 0, hidden by the warm-up, instead of after it"});
    WarmupOptions::fields(v);
  }
};

class Cosine : public WarmupSchedule {
 public:
  explicit Cosine(const CosineOptions& options) : WarmupSchedule(options), options_(options) {}

 protected:
  double after(double lr, const SchedulePoint& at, double warmup) const override {
    const double start = options_.under_warmup ? 0 : warmup;
    const double length = std::max(1.0, static_cast<double>(at.total_steps) - start);
    const double progress = std::min(1.0, (static_cast<double>(at.step) - start) / length);
    return cosine_between(lr, options_.min_lr, progress);
  }

 private:
  CosineOptions options_;
};

struct CosineRestartsOptions : WarmupOptions {
  double period_epochs = 0;
  int64_t period_steps = 0;
  double period_factor = 1;
  double shrink = 1;
  double min_lr = 0;
  void fields(FieldVisitor& v) {
    v.visit("period_epochs", period_epochs, {.doc = "length of the first period in epochs", .min = 0});
    v.visit("period_steps", period_steps, {.doc = "the same in steps; one of the two is needed", .min = 0});
    v.visit("period_factor", period_factor, {.doc = "each period is this many times as long", .min = 1});
    v.visit("shrink", shrink,
            {.doc = "factor of lr and min_lr at each restart", .min = 0, .max = 1, .above_min = true});
    v.visit("min_lr", min_lr, {.doc = "rate at the end of the first period", .min = 0});
    WarmupOptions::fields(v);
  }
};

/// Loshchilov and Hutter 2017 (SGDR), with fairseq's shrinking of both ends.
class CosineRestarts : public WarmupSchedule {
 public:
  explicit CosineRestarts(const CosineRestartsOptions& options)
      : WarmupSchedule(options), options_(options) {}

 protected:
  double after(double lr, const SchedulePoint& at, double warmup) const override {
    double period = options_.period_steps > 0
                        ? static_cast<double>(options_.period_steps)
                        : options_.period_epochs * static_cast<double>(at.steps_per_epoch);
    double position = static_cast<double>(at.step) - warmup;
    double high = lr, low = options_.min_lr;
    while (position >= period) {
      position -= period;
      period *= options_.period_factor;
      high *= options_.shrink;
      low *= options_.shrink;
    }
    return cosine_between(high, low, position / period);
  }

 private:
  CosineRestartsOptions options_;
};

struct InverseSqrtOptions : WarmupOptions {};

class InverseSqrt : public WarmupSchedule {
 public:
  explicit InverseSqrt(const InverseSqrtOptions& options) : WarmupSchedule(options) {}

 protected:
  double after(double lr, const SchedulePoint& at, double warmup) const override {
    return lr * std::sqrt(std::max(warmup, 1.0) / std::max(static_cast<double>(at.step), 1.0));
  }
};

struct OneCycleOptions {
  double peak = 0.3;
  double start_div = 25;
  double final_div = 1e4;
  void fields(FieldVisitor& v) {
    v.visit("peak", peak,
            {.doc = "share of the run spent rising to lr", .min = 0, .max = 1, .below_max = true});
    v.visit("start_div", start_div, {.doc = "the first rate is lr / start_div", .min = 1});
    v.visit("final_div", final_div, {.doc = "the last rate is the first / final_div", .min = 1});
  }
};

/// Smith 2018 with cosine annealing; the learning rate only, the momentum stays.
class OneCycle : public Schedule {
 public:
  explicit OneCycle(const OneCycleOptions& options) : options_(options) {}

  double rate(double lr, const SchedulePoint& at) const override {
    const double last = std::max(1.0, static_cast<double>(at.total_steps - 1));
    const double top = std::max(0.0, options_.peak * static_cast<double>(at.total_steps) - 1);
    const double first = lr / options_.start_div;
    const double step = std::min(static_cast<double>(at.step), last);
    if (step < top) return cosine_between(first, lr, step / top);
    return cosine_between(lr, first / options_.final_div, (step - top) / (last - top));
  }

 private:
  OneCycleOptions options_;
};

/// Refuses a warm-up given twice.
void check_warmup(const WarmupOptions& options, const Value& section, const FieldPath& where) {
  if (options.warmup_steps == 0 || options.warmup_epochs == 0) return;
  config_error(where / "warmup_steps", section.line(), "give warmup_steps or warmup_epochs, not both");
}

template <class Product, class Options, class Check>
ScheduleRegistry::Entry schedule_entry(std::string name, std::string doc, Check check) {
  auto entry = make_entry<std::unique_ptr<Schedule>>(
      std::move(name), std::move(doc), Options{},
      [](const Options& options) { return std::make_unique<Product>(options); });
  const auto verify = [check](const Value& section, const FieldPath& where) {
    Options options;
    read_fields(options, section, where, {"type"});
    check(options, section, where);
  };
  entry.build = [verify, build = entry.build](const Value& section, const FieldPath& where) {
    verify(section, where);
    return build(section, where);
  };
  entry.resolve = [verify, resolve = entry.resolve](const Value& section, const FieldPath& where) {
    verify(section, where);
    return resolve(section, where);
  };
  return entry;
}

void check_milestones(const MultistepOptions& options, const Value& section, const FieldPath& where) {
  check_warmup(options, section, where);
  if (!options.milestones.empty() && std::is_sorted(options.milestones.begin(), options.milestones.end())) {
    return;
  }
  config_error(where / "milestones", section.line(), "expected at least one epoch, in rising order");
}

void check_period(const CosineRestartsOptions& options, const Value& section, const FieldPath& where) {
  check_warmup(options, section, where);
  if ((options.period_steps > 0) != (options.period_epochs > 0)) return;
  config_error(where / "period_epochs", section.line(), "give period_epochs or period_steps, one of them");
}

}  // namespace

const ScheduleRegistry& schedule_registry() {
  static const ScheduleRegistry registry(
      "schedule",
      {
          schedule_entry<Constant, ConstantOptions>("constant", "lr throughout", check_warmup),
          schedule_entry<Step, StepOptions>("step", "times gamma every so many epochs", check_warmup),
          schedule_entry<Multistep, MultistepOptions>("multistep", "times gamma at given epochs",
                                                      check_milestones),
          schedule_entry<Cosine, CosineOptions>("cosine", "half a cosine from lr to min_lr", check_warmup),
          schedule_entry<CosineRestarts, CosineRestartsOptions>(
              "cosine_restarts", "half cosines, each from lr again", check_period),
          schedule_entry<InverseSqrt, InverseSqrtOptions>(
              "inverse_sqrt", "falls with the square root of the step", check_warmup),
          schedule_entry<OneCycle, OneCycleOptions>(
              "one_cycle", "rises to lr and falls to almost nothing",
              [](const OneCycleOptions&, const Value&, const FieldPath&) {}),
          schedule_entry<Plateau, PlateauOptions>(
              "plateau", "times factor when a metric stops improving",
              [](const PlateauOptions& options, const Value& section, const FieldPath& where) {
                check_warmup(options, section, where);
              }),
      });
  return registry;
}

}  // namespace lathe
