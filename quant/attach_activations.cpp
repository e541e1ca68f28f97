#include "quant/attach_activations.h"

#include "core/error.h"
#include "core/glob.h"

namespace lathe {
namespace {

struct SiteRule {
  std::string match = "*";
  Value method;  // the rule's other keys
  FieldPath where;
  int line = 0;
  bool none = false;
  void fields(FieldVisitor& v) {
    v.visit("match", match,
            {.doc = "pattern for the input's full name, \"layer1.0.conv1.input\"; * and ? are wild"});
  }
};

SiteRule read_rule(const Value& given, const FieldPath& where) {
  if (!given.is(Value::Type::Object))
    config_error(where, given.line(), concat("expected an object, found ", describe(given.type())));
  SiteRule rule;
  rule.where = where;
  rule.line = given.line();
  rule.method = Value::object();
  rule.method.set_line(given.line());
  Value common = Value::object();
  common.set_line(given.line());
  for (const auto& [key, value] : given.members()) (key == "match" ? common : rule.method).append(key, value);
  read_fields(rule, common, where);
  const Value* type = rule.method.find("type");
  rule.none = type != nullptr && type->is(Value::Type::String) && type->as_string() == "none";
  if (!rule.none) {
    activation_registry().resolve(rule.method, where);
  } else if (rule.method.members().size() > 1) {
    for (const auto& [key, value] : rule.method.members()) {
      if (key != "type")
        config_error(where, value.line(), concat("unknown key '", key, "'; 'none' has no options"));
    }
  }
  return rule;
}

std::vector<SiteRule> read_rules(const Value& rules, const FieldPath& where) {
  if (!rules.is(Value::Type::Array))
    config_error(where, rules.line(), concat("expected a list, found ", describe(rules.type())));
  std::vector<SiteRule> all;
  for (size_t i = 0; i < rules.items().size(); ++i) all.push_back(read_rule(rules.items()[i], where[i]));
  return all;
}

}  // namespace

std::vector<AttachRow> attach_activations(Module& model, const Value& rules, const FieldPath& where) {
  const std::vector<SiteRule> all = read_rules(rules, where);
  std::vector<AttachRow> table;
  if (all.empty()) return table;
  std::vector<int> uses(all.size());
  for (QuantSite* site : quant_sites(model)) {
    AttachRow row{site->path(), {}, "none", "no rule matches", {}, true};
    for (size_t i = 0; i < all.size(); ++i) {
      const SiteRule& rule = all[i];
      if (!glob_match(rule.match, row.parameter)) continue;
      ++uses[i];
      row.why = rule.where.path;
      if (!rule.none) {
        site->attach(activation_registry().build(rule.method, rule.where, *site));
        row.options = activation_registry().resolve(rule.method, rule.where);
        row.method = row.options.find("type")->as_string();
      }
      break;
    }
    table.push_back(std::move(row));
  }
  for (size_t i = 0; i < uses.size(); ++i) {
    if (uses[i] == 0)
      config_error(
          all[i].where, all[i].line,
          concat("decides about no layer's input that an earlier rule left: match '", all[i].match, "'"));
  }
  return table;
}

Value resolve_activations(const Value& rules, const FieldPath& where) {
  Value out = Value::array();
  for (const SiteRule& rule : read_rules(rules, where)) {
    Value one = write_fields(rule);
    const Value method = rule.none ? rule.method : activation_registry().resolve(rule.method, rule.where);
    for (const auto& [key, value] : method.members()) one.set(key, value);
    out.push_back(std::move(one));
  }
  return out;
}

Value activations_schema() {
  Value choices = Value::array();
  const auto add = [&](const std::string& name, const std::string& doc, Value fields) {
    Value properties = Value::object({{"type", Value::object({{"const", Value::string(name)}})}});
    for (const Value& from : {fields_schema(SiteRule{}), fields}) {
      if (const Value* own = from.find("properties")) {
        for (const auto& [key, value] : own->members()) properties.set(key, value);
      }
    }
    fields.set("description", Value::string(doc));
    fields.set("properties", std::move(properties));
    fields.set("required", Value::array({Value::string("type")}));
    choices.push_back(std::move(fields));
  };
  add("none", "stays float", fields_schema(SiteRule{}));
  for (const auto& entry : activation_registry().entries()) add(entry.name, entry.doc, entry.schema());
  return Value::object(
      {{"type", Value::string("array")}, {"items", Value::object({{"oneOf", std::move(choices)}})}});
}

}  // namespace lathe
