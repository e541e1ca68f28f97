#include "train/config/sections.h"

#include "data/dataset.h"
#include "models/registry.h"
#include "quant/attach.h"
#include "quant/regularizers.h"
#include "train/loss/loss.h"
#include "train/optim/optimizer.h"
#include "train/schedule/schedule.h"

namespace lathe {
namespace {

/// {"oneOf": [...]}: an entry's fields, and its name as "type".
template <class Table>
Value one_of(const Table& table) {
  Value choices = Value::array();
  for (const auto& entry : table.entries()) {
    Value fields = entry.schema();
    Value properties = Value::object({{"type", Value::object({{"const", Value::string(entry.name)}})}});
    if (const Value* own = fields.find("properties")) {
      for (const auto& [key, value] : own->members()) properties.set(key, value);
    }
    Value required = Value::array({Value::string("type")});
    if (const Value* own = fields.find("required")) {
      for (const Value& key : own->items()) required.push_back(key);
    }
    fields.set("description", Value::string(entry.doc));
    fields.set("properties", std::move(properties));
    fields.set("required", std::move(required));
    choices.push_back(std::move(fields));
  }
  return Value::object({{"oneOf", std::move(choices)}});
}

template <class Table>
Section section(std::string_view key, Value Experiment::*member, const Table& table) {
  return {key, member,
          [&table](const Value& value, const FieldPath& where) { return table.resolve(value, where); },
          [&table] { return one_of(table); }};
}

}  // namespace

std::span<const Section> experiment_sections() {
  static const Section sections[] = {
      section("data", &Experiment::data, data_registry()),
      section("model", &Experiment::model, model_registry()),
      {"quant", &Experiment::quant, resolve_quant, quant_schema},
      {"regularizers", &Experiment::regularizers, resolve_regularizers, regularizers_schema},
      section("loss", &Experiment::loss, loss_registry()),
      section("optimizer", &Experiment::optimizer, optimizer_registry()),
      section("schedule", &Experiment::schedule, schedule_registry()),
  };
  return sections;
}

}  // namespace lathe
