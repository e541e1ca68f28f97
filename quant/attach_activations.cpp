#include "quant/attach_activations.h"

#include "core/error.h"
#include "core/glob.h"
#include "quant/rules.h"

namespace lathe {
namespace {

struct SiteMatch {
  std::string match = "*";
  void fields(FieldVisitor& v) {
    v.visit("match", match,
            {.doc = "pattern for the input's full name, \"layer1.0.conv1.input\"; * and ? are wild"});
  }
};

std::vector<QuantRule<SiteMatch>> read(const Value& rules, const FieldPath& where) {
  return read_rules<SiteMatch>(rules, where, activation_registry());
}

}  // namespace

std::vector<AttachRow> attach_activations(Module& model, const Value& given, const FieldPath& where) {
  const std::vector<QuantRule<SiteMatch>> rules = read(given, where);
  std::vector<AttachRow> table;
  if (rules.empty()) return table;
  std::vector<int> uses(rules.size());
  for (QuantSite* site : quant_sites(model)) {
    AttachRow row{site->path(), {}, "none", "no rule matches", {}, true};
    for (size_t i = 0; i < rules.size(); ++i) {
      const QuantRule<SiteMatch>& rule = rules[i];
      if (!glob_match(rule.match.match, row.parameter)) continue;
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
    if (uses[i] > 0) continue;
    config_error(rules[i].where, rules[i].line,
                 concat("decides about no layer's input that an earlier rule left: match '",
                        rules[i].match.match, "'"));
  }
  return table;
}

Value resolve_activations(const Value& rules, const FieldPath& where) {
  return resolve_rules(read(rules, where), activation_registry());
}

Value activations_schema() {
  return rules_schema<SiteMatch>(activation_registry());
}

}  // namespace lathe
