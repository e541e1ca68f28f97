#include <algorithm>

#include "core/glob.h"
#include "train/optim/optimizer.h"

namespace lathe {
namespace {

/// The part of a group that is not its rule's.
struct GroupOptions {
  std::string match = "*";
  std::string kind = "any";
  std::string role = "weight";
  std::optional<double> clip_norm;
  Value schedule;

  void fields(FieldVisitor& v) {
    v.visit("match", match, {.doc = "pattern for the parameter's full name; * and ? are wild"});
    v.visit("kind", kind,
            {.doc = "what the parameter is", .choices = {"any", "weight", "bias", "norm", "embedding"}});
    v.visit("role", role,
            {.doc = "what the parameter does: weight, or a quantizer's scale, bits or dead_zone",
             .choices = {"any", "weight", "scale", "bits", "dead_zone"}});
    v.visit("clip_norm", clip_norm,
            {.doc = "the group's own limit of its gradients' norm, 0 for none; null: train.clip_norm covers "
                    "the group",
             .min = 0});
    v.visit("schedule", schedule, {.doc = "the group's own schedule; null: the run's"});
  }
  bool selects(const Parameter& parameter) const {
    return (kind == "any" || kind == to_string(parameter.kind())) &&
           (role == "any" || role == to_string(parameter.role())) && glob_match(match, parameter.path());
  }
};

const RuleEntry& rule_named(const std::string& name) {
  const auto& rules = update_rules();
  return *std::find_if(rules.begin(), rules.end(), [&](const RuleEntry& rule) { return rule.name == name; });
}

bool has_field(const RuleEntry& rule, const std::string& key) {
  return std::find(rule.fields.begin(), rule.fields.end(), key) != rule.fields.end();
}

/// A group's section read in full.
struct GroupPlan {
  GroupOptions options;
  const RuleEntry* rule = nullptr;
  Value rule_fields;  // the rule's own, the section's where the group inherits them
  FieldPath where;
};

std::vector<std::string_view> group_keys() {
  static const Value keys = write_fields(GroupOptions{});
  std::vector<std::string_view> names = {"type"};
  for (const auto& [key, value] : keys.members()) names.push_back(key);
  return names;
}

GroupPlan read_group(const Value& group, const Value& section, const RuleEntry& section_rule,
                     const FieldPath& where) {
  if (!group.is(Value::Type::Object)) {
    config_error(where, group.line(), concat("expected an object, found ", describe(group)));
  }
  GroupPlan plan;
  plan.where = where;
  const Value* type = group.find("type");
  if (type == nullptr) {
    plan.rule = &section_rule;
  } else {
    static const Registry<int> types = [] {  // for its message about unknown names
      std::vector<RegistryEntry<int>> entries;
      for (const RuleEntry& rule : update_rules()) entries.push_back({rule.name, rule.doc, {}, {}, {}});
      return Registry<int>("optimizer", std::move(entries));
    }();
    plan.rule = &rule_named(types.at(group, where).name);
  }
  std::vector<std::string_view> also = {"type"};
  for (const std::string& field : plan.rule->fields) also.push_back(field);
  read_fields(plan.options, group, where, also);
  if (!plan.options.schedule.is(Value::Type::Null)) {
    plan.options.schedule = schedule_registry().resolve(plan.options.schedule, where / "schedule");
  }
  Value merged = group;
  if (plan.rule == &section_rule) {
    for (const auto& [key, value] : section.members()) {
      if (has_field(section_rule, key) && group.find(key) == nullptr) merged.set(key, value);
    }
  }
  plan.rule_fields = plan.rule->resolve(merged, where, group_keys());
  return plan;
}

std::vector<GroupPlan> read_groups(const Value& section, const RuleEntry& rule, const FieldPath& where) {
  std::vector<GroupPlan> plans;
  const Value* groups = section.find("groups");
  if (groups == nullptr) return plans;
  if (!groups->is(Value::Type::Array)) {
    config_error(where / "groups", groups->line(), concat("expected a list, found ", describe(*groups)));
  }
  const FieldPath path = where / "groups";
  for (size_t i = 0; i < groups->items().size(); ++i) {
    plans.push_back(read_group(groups->items()[i], section, rule, path[i]));
  }
  return plans;
}

Value resolve(const RuleEntry& rule, const Value& section, const FieldPath& where) {
  Value out = Value::object({{"type", Value::string(rule.name)}});
  const Value own = rule.resolve(section, where, {"type", "groups"});
  for (const auto& [key, value] : own.members()) out.set(key, value);
  Value groups = Value::array();
  for (const GroupPlan& plan : read_groups(section, rule, where)) {
    const Value options = write_fields(plan.options);
    Value group = Value::object();
    for (const char* key : {"match", "kind", "role"}) group.set(key, *options.find(key));
    group.set("type", Value::string(plan.rule->name));
    for (const auto& [key, value] : plan.rule_fields.members()) group.set(key, value);
    for (const char* key : {"clip_norm", "schedule"}) group.set(key, *options.find(key));
    groups.push_back(std::move(group));
  }
  out.set("groups", std::move(groups));
  return out;
}

std::unique_ptr<Optimizer> build(const RuleEntry& rule, const Value& section, const FieldPath& where,
                                 const std::vector<Parameter*>& parameters) {
  const std::vector<GroupPlan> plans = read_groups(section, rule, where);
  // After the plans': the section's own, and quantizers' parameters that no group asks for by role.
  std::vector<ParameterGroup> groups(plans.size() + 2);
  for (Parameter* parameter : parameters) {
    if (parameter->tied()) continue;
    size_t g = 0;
    while (g < plans.size() && !plans[g].options.selects(*parameter)) ++g;
    if (g == plans.size() && parameter->role() != Role::Weight) ++g;
    groups[g].parameters.push_back(parameter);
  }
  for (size_t g = 0; g < plans.size(); ++g) {
    const GroupPlan& plan = plans[g];
    if (groups[g].parameters.empty()) {
      config_error(plan.where, section.find("groups")->items()[g].line(),
                   concat("matches no parameter that an earlier group left: match '", plan.options.match,
                          "', kind '", plan.options.kind, "', role '", plan.options.role, "'"));
    }
    ConfiguredRule configured = plan.rule->build(plan.rule_fields, plan.where, {});
    groups[g].label = plan.where.path;
    groups[g].rule = std::move(configured.rule);
    groups[g].lr = configured.lr;
    groups[g].clip_norm = plan.options.clip_norm;
    if (!plan.options.schedule.is(Value::Type::Null)) {
      groups[g].schedule = schedule_registry().build(plan.options.schedule, plan.where / "schedule");
    }
  }
  const auto configure = [&](ParameterGroup& group, const Value& fields, std::string label) {
    ConfiguredRule configured = rule.build(fields, where, {"type", "groups"});
    group.label = std::move(label);
    group.rule = std::move(configured.rule);
    group.lr = configured.lr;
  };
  Value undecayed = section;
  undecayed.set("weight_decay", Value::real(0));
  configure(groups[plans.size()], section, where.path);
  configure(groups.back(), undecayed, where.path + " of quantizers");
  if (groups.back().parameters.empty()) groups.pop_back();
  return std::make_unique<Optimizer>(std::move(groups));
}

/// Adds the members of `from`'s "properties" to `properties`.
void add_properties(Value& properties, const Value& from) {
  const Value* fields = from.find("properties");
  if (fields == nullptr) return;
  for (const auto& [key, value] : fields->members()) properties.set(key, value);
}

Value groups_schema() {
  Value types = Value::array();
  Value properties = Value::object();
  add_properties(properties, fields_schema(GroupOptions{}));
  for (const RuleEntry& rule : update_rules()) {
    types.push_back(Value::string(rule.name));
    add_properties(properties, rule.schema());
  }
  properties.set("type", Value::object({{"enum", std::move(types)}}));
  Value items = Value::object({{"type", Value::string("object")},
                               {"properties", std::move(properties)},
                               {"additionalProperties", Value::boolean(false)}});
  return Value::object({{"type", Value::string("array")},
                        {"description", Value::string("the first group that matches a parameter updates it")},
                        {"items", std::move(items)}});
}

}  // namespace

const OptimizerRegistry& optimizer_registry() {
  static const OptimizerRegistry registry = [] {
    std::vector<OptimizerRegistry::Entry> entries;
    for (const RuleEntry& rule : update_rules()) {
      entries.push_back(
          {rule.name, rule.doc,
           [&rule](const Value& section, const FieldPath& where, const std::vector<Parameter*>& parameters) {
             return build(rule, section, where, parameters);
           },
           [&rule](const Value& section, const FieldPath& where) { return resolve(rule, section, where); },
           [&rule] {
             Value schema = rule.schema();
             if (Value* properties = schema.find("properties")) {
               properties->set("groups", groups_schema());
             }
             return schema;
           }});
    }
    return OptimizerRegistry("optimizer", std::move(entries));
  }();
  return registry;
}

}  // namespace lathe
