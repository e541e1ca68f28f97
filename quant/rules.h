#pragma once
// A rule of a "quant" section: what it matches, and the method with its options, in one object.

#include <string>

#include "core/error.h"
#include "core/registry.h"

namespace lathe {

/// `Match` lists the keys that say what the rule is about; the others are the method's, "none" has none.
template <class Match>
struct QuantRule {
  Match match;
  Value method;  ///< the rule's other keys
  FieldPath where;
  int line = 0;
  bool none = false;  ///< leaves in float what it matches
};

/// ConfigError naming the line for keys that nobody knows, or options of "none".
template <class Match, class Methods>
QuantRule<Match> read_rule(const Value& given, const FieldPath& where, const Methods& methods) {
  static const Value keys = write_fields(Match{});
  if (!given.is(Value::Type::Object))
    config_error(where, given.line(), concat("expected an object, found ", describe(given)));
  QuantRule<Match> rule{.match = {}, .method = Value::object(), .where = where, .line = given.line()};
  Value match = Value::object();
  match.set_line(given.line());
  rule.method.set_line(given.line());
  for (const auto& [key, value] : given.members())
    (keys.find(key) != nullptr ? match : rule.method).append(key, value);
  read_fields(rule.match, match, where);
  const Value* type = rule.method.find("type");
  rule.none = type != nullptr && type->is(Value::Type::String) && type->as_string() == "none";
  if (!rule.none) {
    methods.resolve(rule.method, where);
    return rule;
  }
  for (const auto& [key, value] : rule.method.members()) {
    if (key != "type")
      config_error(where, value.line(), concat("unknown key '", key, "'; 'none' has no options"));
  }
  return rule;
}

/// A list of them.
template <class Match, class Methods>
std::vector<QuantRule<Match>> read_rules(const Value& list, const FieldPath& where, const Methods& methods) {
  if (!list.is(Value::Type::Array))
    config_error(where, list.line(), concat("expected a list, found ", describe(list)));
  std::vector<QuantRule<Match>> rules;
  for (size_t i = 0; i < list.items().size(); ++i)
    rules.push_back(read_rule<Match>(list.items()[i], where[i], methods));
  return rules;
}

/// The list with all defaults.
template <class Match, class Methods>
Value resolve_rules(const std::vector<QuantRule<Match>>& rules, const Methods& methods) {
  Value list = Value::array();
  for (const QuantRule<Match>& rule : rules) {
    Value one = write_fields(rule.match);
    const Value method = rule.none ? rule.method : methods.resolve(rule.method, rule.where);
    for (const auto& [key, value] : method.members()) one.set(key, value);
    list.push_back(std::move(one));
  }
  return list;
}

/// JSON Schema of the list.
template <class Match, class Methods>
Value rules_schema(const Methods& methods) {
  Value choices = Value::array();
  const auto add = [&](const std::string& name, const std::string& doc, Value fields) {
    Value properties = Value::object({{"type", Value::object({{"const", Value::string(name)}})}});
    for (const Value& from : {fields_schema(Match{}), fields}) {
      if (const Value* own = from.find("properties")) {
        for (const auto& [key, value] : own->members()) properties.set(key, value);
      }
    }
    fields.set("description", Value::string(doc));
    fields.set("properties", std::move(properties));
    fields.set("required", Value::array({Value::string("type")}));
    choices.push_back(std::move(fields));
  };
  add("none", "stays float", fields_schema(Match{}));
  for (const auto& entry : methods.entries()) add(entry.name, entry.doc, entry.schema());
  return Value::object(
      {{"type", Value::string("array")}, {"items", Value::object({{"oneOf", std::move(choices)}})}});
}

}  // namespace lathe
