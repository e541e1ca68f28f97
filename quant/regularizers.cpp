#include "quant/regularizers.h"

#include <algorithm>
#include <optional>

#include "autograd/ops/activations.h"
#include "autograd/ops/elementwise.h"
#include "core/error.h"
#include "core/kernels/elementwise.h"
#include "quant/ops/ops.h"

namespace lathe {
namespace {

constexpr double kBitsOfMebibyte = 8388608;

/// Of terms with one element each, as one op; undefined where there are none.
Var sum_of(std::vector<Var> terms) {
  if (terms.empty()) return Var();
  Tensor sum = terms[0].data().clone();
  for (size_t i = 1; i < terms.size(); ++i) kernels::accumulate(sum, terms[i].data());
  const int count = static_cast<int>(terms.size());
  return record("sum_of_terms", sum, std::move(terms), {}, [count](Backward& b) {
    for (int i = 0; i < count; ++i) b.pass(i, b.dy());
  });
}

/// What every regulariser has: a weight, and what it is multiplied with in the course of a run.
struct RegularizerOptions {
  double weight = 1;
  Value schedule;
  void fields(FieldVisitor& v, std::string_view doc) {
    v.visit("weight", weight, {.doc = doc, .min = 0, .required = true});
    v.visit(
        "schedule", schedule,
        {.doc = "what the weight is multiplied with, step by step; null: 1. {\"type\": \"cosine\"}: `start` "
                "until the share `begin` of the steps, then half a cosine to `end`"});
  }
};

class Scheduled : public Regularizer {
 public:
  Scheduled(const RegularizerOptions& options, const FieldPath& where) : weight_(options.weight) {
    if (!options.schedule.is(Value::Type::Null))
      schedule_ = weight_schedule_registry().build(options.schedule, where / "schedule");
  }
  Var term(const std::vector<Quantizer*>& quantizers, const Moment& moment) const final {
    const double weight = schedule_ ? weight_ * schedule_(moment) : weight_;
    if (weight == 0) return {};
    const Var sum = unweighted(quantizers);
    return sum.defined() ? scale(sum, weight) : sum;
  }
  bool steady() const final { return !schedule_; }

 protected:
  virtual Var unweighted(const std::vector<Quantizer*>& quantizers) const = 0;

 private:
  double weight_;
  WeightSchedule schedule_;
};

struct SizeOptions : RegularizerOptions {
  std::optional<double> budget;
  void fields(FieldVisitor& v) {
    RegularizerOptions::fields(v, "times the size in MiB: DiffQ's lambda");
    v.visit(
        "budget", budget,
        {.doc = "MiB that cost nothing; the weight is then times max(size - budget, 0)^2, DQ's constraint",
         .min = 0});
  }
};

/// DiffQ's differentiable model size (methods.md section 3.5), of quantized parameters; or DQ's constraint
/// on it (Uhlich et al. 2020; section 7.2).
class Size : public Scheduled {
 public:
  Size(const SizeOptions& options, const FieldPath& where)
      : Scheduled(options, where), budget_(options.budget) {}

 protected:
  Var unweighted(const std::vector<Quantizer*>& quantizers) const override {
    std::vector<Var> sizes;
    for (const Quantizer* one : quantizers) sizes.push_back(one->size_in_bits(one->parameter().raw()));
    const Var bits = sum_of(std::move(sizes));
    if (!bits.defined()) return bits;
    const Var size = scale(bits, 1 / kBitsOfMebibyte);
    return budget_ ? square(relu(add_scalar(size, -*budget_))) : size;
  }

 private:
  std::optional<double> budget_;
};

struct OscillationOptions : RegularizerOptions {
  void fields(FieldVisitor& v) {
    RegularizerOptions::fields(v, "times the mean of quantized^2 - weight^2 of each tensor");
  }
};

/// The oscillation-inducing regulariser (methods.md section 5.3).
class Oscillation : public Scheduled {
 public:
  using Scheduled::Scheduled;

  // Of raw weights the term is 0, of weights with noise it is the noise's: neither has thresholds.
  void check(const std::vector<Quantizer*>& quantizers) const override {
    for (const Quantizer* one : quantizers) {
      LATHE_CHECK(ConfigError, one->rounds(), "oscillation: ", one->parameter().path(), " is not rounded in ",
                  "training by its quantizer '", one->method(),
                  "' as it is set; expected one that rounds, such as absmax with \"qat\"");
    }
  }

 protected:
  Var unweighted(const std::vector<Quantizer*>& quantizers) const override {
    check(quantizers);
    std::vector<Var> penalties;
    for (Quantizer* one : quantizers)
      penalties.push_back(oscillation_penalty(one->parameter().raw(), one->parameter().quantized()));
    return sum_of(std::move(penalties));
  }
};

struct DampeningOptions : RegularizerOptions {
  std::string kind = "kernel_mean";
  void fields(FieldVisitor& v) {
    RegularizerOptions::fields(v,
                               "times |quantized - weight|^2, the weight clipped to the quantizer's range");
    v.visit("kind", kind,
            {.doc = "how elements of a tensor add up; kernel_mean: the sum over output channels of the mean",
             .choices = {"sum", "mean", "kernel_mean"}});
  }
};

/// Dampening (Nagel et al. 2022; methods.md section 11): pulls weights to the centres of their bins, away
/// from the thresholds between which they would oscillate.
class DampeningTerm : public Scheduled {
 public:
  DampeningTerm(const DampeningOptions& options, const FieldPath& where)
      : Scheduled(options, where),
        kind_(options.kind == "sum"    ? Dampening::Sum
              : options.kind == "mean" ? Dampening::Mean
                                       : Dampening::KernelMean) {}

  void check(const std::vector<Quantizer*>& quantizers) const override {
    const auto has_grid = [](const Quantizer* one) { return one->step_grid().has_value(); };
    LATHE_CHECK(ConfigError, std::any_of(quantizers.begin(), quantizers.end(), has_grid),
                "dampening: no parameter has a quantizer with a learned step, such as lsq or lsq_plus");
  }

 protected:
  Var unweighted(const std::vector<Quantizer*>& quantizers) const override {
    check(quantizers);
    std::vector<Var> penalties;
    for (Quantizer* one : quantizers) {
      const std::optional<Quantizer::StepGrid> grid = one->step_grid();
      if (!grid) continue;
      Parameter& parameter = one->parameter();
      const Var w = grid->grouping.gather(parameter.raw()),
                w_hat = grid->grouping.gather(parameter.quantized().detach());
      penalties.push_back(dampening_penalty(w, w_hat, grid->step, grid->grid, kind_));
    }
    return sum_of(std::move(penalties));
  }

 private:
  Dampening kind_;
};

template <class R, class Options>
RegularizerRegistry::Entry entry(std::string name, std::string doc, Options defaults) {
  auto made = make_entry<std::unique_ptr<Regularizer>>(
      std::move(name), std::move(doc), defaults,
      [](const Options& options, const FieldPath& where) -> std::unique_ptr<Regularizer> {
        return std::make_unique<R>(options, where);
      });
  made.resolve = [resolve = made.resolve](const Value& section, const FieldPath& where) {
    Value resolved = resolve(section, where);
    const Value schedule = *resolved.find("schedule");
    if (!schedule.is(Value::Type::Null))
      resolved.set("schedule", weight_schedule_registry().resolve(schedule, where / "schedule"));
    return resolved;
  };
  return made;
}

Value schedule_schema() {
  Value choices = Value::array({Value::object({{"type", Value::string("null")}})});
  for (const auto& one : weight_schedule_registry().entries()) {
    Value fields = one.schema();
    Value properties = Value::object({{"type", Value::object({{"const", Value::string(one.name)}})}});
    for (const auto& [key, value] : fields.find("properties")->members()) properties.set(key, value);
    fields.set("properties", std::move(properties));
    fields.set("required", Value::array({Value::string("type")}));
    choices.push_back(std::move(fields));
  }
  return Value::object({{"oneOf", std::move(choices)}});
}

const std::vector<Value>& items_of(const Value& list, const FieldPath& where) {
  if (!list.is(Value::Type::Array))
    config_error(where, list.line(), concat("expected a list, found ", describe(list)));
  return list.items();
}

}  // namespace

const RegularizerRegistry& regularizer_registry() {
  static const RegularizerRegistry registry = [] {
    std::vector<RegularizerRegistry::Entry> entries;
    entries.push_back(entry<Size>("size", "DiffQ's differentiable model size", SizeOptions()));
    entries.push_back(entry<Oscillation>("oscillation", "pushes weights towards the thresholds of their grid",
                                         OscillationOptions()));
    entries.push_back(
        entry<DampeningTerm>("dampening", "pulls weights to the centres of their bins", DampeningOptions()));
    return RegularizerRegistry("regularizer", std::move(entries));
  }();
  return registry;
}

std::vector<std::unique_ptr<Regularizer>> build_regularizers(const Value& list, const FieldPath& where) {
  std::vector<std::unique_ptr<Regularizer>> all;
  const std::vector<Value>& items = items_of(list, where);
  for (size_t i = 0; i < items.size(); ++i) all.push_back(regularizer_registry().build(items[i], where[i]));
  return all;
}

Value resolve_regularizers(const Value& list, const FieldPath& where) {
  Value out = Value::array();
  const std::vector<Value>& items = items_of(list, where);
  for (size_t i = 0; i < items.size(); ++i) out.push_back(regularizer_registry().resolve(items[i], where[i]));
  return out;
}

Value regularizers_schema() {
  Value choices = Value::array();
  for (const auto& one : regularizer_registry().entries()) {
    Value fields = one.schema();
    Value properties = Value::object({{"type", Value::object({{"const", Value::string(one.name)}})}});
    for (const auto& [key, value] : fields.find("properties")->members()) properties.set(key, value);
    properties.set("schedule", schedule_schema());
    fields.set("description", Value::string(one.doc));
    fields.set("properties", std::move(properties));
    fields.set("required", Value::array({Value::string("type"), Value::string("weight")}));
    choices.push_back(std::move(fields));
  }
  return Value::object(
      {{"type", Value::string("array")}, {"items", Value::object({{"oneOf", std::move(choices)}})}});
}

}  // namespace lathe
