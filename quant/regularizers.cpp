#include "quant/regularizers.h"

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

struct SizeOptions {
  double weight = 1;
  void fields(FieldVisitor& v) {
    v.visit("weight", weight, {.doc = "times the size in MiB: DiffQ's lambda", .min = 0, .required = true});
  }
};

/// DiffQ's differentiable model size (methods.md section 3.5), of quantized parameters.
class Size : public Regularizer {
 public:
  explicit Size(const SizeOptions& options) : weight_(options.weight) {}
  Var term(const std::vector<Quantizer*>& quantizers) const override {
    std::vector<Var> sizes;
    for (const Quantizer* one : quantizers) sizes.push_back(one->size_in_bits(one->parameter().raw()));
    const Var bits = sum_of(std::move(sizes));
    return bits.defined() ? scale(bits, weight_ / kBitsOfMebibyte) : bits;
  }

 private:
  double weight_;
};

struct OscillationOptions {
  double weight = 1;
  void fields(FieldVisitor& v) {
    v.visit("weight", weight,
            {.doc = "times the mean of quantized^2 - weight^2 of each tensor", .min = 0, .required = true});
  }
};

/// The oscillation-inducing regulariser (methods.md section 5.3).
class Oscillation : public Regularizer {
 public:
  explicit Oscillation(const OscillationOptions& options) : weight_(options.weight) {}
  Var term(const std::vector<Quantizer*>& quantizers) const override {
    std::vector<Var> penalties;
    for (Quantizer* one : quantizers)
      penalties.push_back(oscillation_penalty(one->parameter().raw(), one->parameter().quantized()));
    const Var sum = sum_of(std::move(penalties));
    return sum.defined() ? scale(sum, weight_) : sum;
  }

 private:
  double weight_;
};

template <class R, class Options>
RegularizerRegistry::Entry entry(std::string name, std::string doc, Options defaults) {
  return make_entry<std::unique_ptr<Regularizer>>(
      std::move(name), std::move(doc), defaults,
      [](const Options& options) -> std::unique_ptr<Regularizer> { return std::make_unique<R>(options); });
}

const std::vector<Value>& items_of(const Value& list, const FieldPath& where) {
  if (!list.is(Value::Type::Array))
    config_error(where, list.line(), concat("expected a list, found ", describe(list.type())));
  return list.items();
}

}  // namespace

const RegularizerRegistry& regularizer_registry() {
  static const RegularizerRegistry registry = [] {
    std::vector<RegularizerRegistry::Entry> entries;
    entries.push_back(entry<Size>("size", "DiffQ's differentiable model size", SizeOptions()));
    entries.push_back(entry<Oscillation>("oscillation", "pushes weights towards the thresholds of their grid",
                                         OscillationOptions()));
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
    fields.set("description", Value::string(one.doc));
    fields.set("properties", std::move(properties));
    fields.set("required", Value::array({Value::string("type"), Value::string("weight")}));
    choices.push_back(std::move(fields));
  }
  return Value::object(
      {{"type", Value::string("array")}, {"items", Value::object({{"oneOf", std::move(choices)}})}});
}

}  // namespace lathe
