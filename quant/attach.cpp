#include "quant/attach.h"

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "core/glob.h"
#include "quant/attach_activations.h"
#include "quant/rules.h"

namespace lathe {
namespace {

struct QuantOptions {
  bool forward = true;
  Value rules = Value::array();
  Value activations = Value::array();
  void fields(FieldVisitor& v) {
    v.visit(
        "forward", forward,
        {.doc =
             "training multiplies with quantized weights; false: only regularisers and evaluation see them"});
    v.visit("rules", rules, {.doc = "the first rule that matches a parameter decides about it"});
    v.visit("activations", activations,
            {.doc = "the first rule that matches a layer's input decides about it"});
  }
};

struct ParameterMatch {
  std::string match = "*";
  std::string kind = "weight";
  int64_t min_numel = 0;
  void fields(FieldVisitor& v) {
    v.visit("match", match, {.doc = "pattern for the parameter's full name; * and ? are wild"});
    v.visit("kind", kind,
            {.doc = "what the parameter is", .choices = {"any", "weight", "bias", "norm", "embedding"}});
    v.visit("min_numel", min_numel,
            {.doc = "parameters with fewer elements are left to later rules", .min = 0});
  }
  bool selects(const Parameter& parameter) const {
    return (kind == "any" || kind == to_string(parameter.kind())) && parameter.numel() >= min_numel &&
           glob_match(match, parameter.path());
  }
};

using AttachRule = QuantRule<ParameterMatch>;

struct Section {
  bool forward = true;
  std::vector<AttachRule> rules;
  Value activations;  // with all defaults
};

Section read_section(const Value& section, const FieldPath& where) {
  QuantOptions options;
  read_fields(options, section, where);
  Section out{.forward = options.forward, .rules = {}, .activations = {}};
  out.rules = read_rules<ParameterMatch>(options.rules, where / "rules", quantizer_registry());
  out.activations = resolve_activations(options.activations, where / "activations");
  if (options.rules.items().empty() && options.activations.items().empty())
    config_error(where / "rules", section.line(), "expected at least one rule");
  return out;
}

const AttachRule* rule_for(const Section& section, const Parameter& parameter, std::vector<int>& uses) {
  for (size_t i = 0; i < section.rules.size(); ++i) {
    if (!section.rules[i].match.selects(parameter)) continue;
    ++uses[i];
    return &section.rules[i];
  }
  return nullptr;
}

void attach(const Quantizer::Site& site, const AttachRule& rule) {
  try {
    site.parameter.parametrize(quantizer_registry().build(rule.method, rule.where, site));
  } catch (const ConfigError& error) {
    const std::string text = error.brief();
    if (text.starts_with(rule.where.file + ":")) throw;  // it says where already
    config_error(rule.where, rule.line, concat("for ", site.parameter.path(), ": ", text));
  }
}

}  // namespace

std::vector<AttachRow> attach_quantizers(Module& model, const Value& given, const FieldPath& where) {
  std::vector<AttachRow> table;
  if (given.is(Value::Type::Null)) return table;
  const Section section = read_section(given, where);
  std::vector<int> uses(section.rules.size());
  for (Parameter* parameter : model.parameters()) {
    if (parameter->role() != Role::Weight || parameter->tied()) continue;
    AttachRow row{parameter->path(), parameter->shape(), "none", "no rule matches", {}, false};
    if (const AttachRule* rule = rule_for(section, *parameter, uses)) {
      row.why = rule->where.path;
      if (!rule->none) {
        attach({parameter->module(), *parameter, section.forward}, *rule);
        row.options = quantizer_registry().resolve(rule->method, rule->where);
        row.method = row.options.find("type")->as_string();
      }
    }
    table.push_back(std::move(row));
  }
  for (size_t i = 0; i < uses.size(); ++i) {
    const AttachRule& rule = section.rules[i];
    if (uses[i] > 0) continue;
    config_error(rule.where, rule.line,
                 concat("decides about no parameter that an earlier rule left: match '", rule.match.match,
                        "', kind '", rule.match.kind, "', min_numel ", rule.match.min_numel));
  }
  const Value* activations = given.find("activations");
  if (activations == nullptr) return table;
  for (AttachRow& row : attach_activations(model, *activations, where / "activations"))
    table.push_back(std::move(row));
  return table;
}

Value to_value(const std::vector<AttachRow>& table) {
  Value rows = Value::array();
  for (const AttachRow& row : table) {
    Value shape = Value::array();
    for (const int64_t n : row.shape) shape.push_back(Value::integer(n));
    rows.push_back(Value::object({{"parameter", Value::string(row.parameter)},
                                  {"shape", std::move(shape)},
                                  {"activation", Value::boolean(row.activation)},
                                  {"method", Value::string(row.method)},
                                  {"why", Value::string(row.why)},
                                  {"options", row.options}}));
  }
  return rows;
}

std::string summarize(const std::vector<AttachRow>& table) {
  struct Line {
    std::string_view method, why;
    bool activation = false;
    int64_t parameters = 0, elements = 0;
    std::string_view first, last;
  };
  std::vector<Line> lines;
  for (const AttachRow& row : table) {
    auto line = std::find_if(lines.begin(), lines.end(), [&](const Line& one) {
      return one.method == row.method && one.why == row.why && one.activation == row.activation;
    });
    if (line == lines.end())
      line = lines.insert(lines.end(), {row.method, row.why, row.activation, 0, 0, row.parameter, {}});
    ++line->parameters;
    line->elements += row.shape.numel();
    line->last = row.parameter;
  }
  std::string text;
  for (const Line& line : lines) {
    text += concat(text.empty() ? "" : "\n", line.method == "none" ? "float" : line.method, " (", line.why,
                   "): ", line.parameters, line.activation ? " input" : " parameter",
                   line.parameters == 1 ? "" : "s");
    if (!line.activation) text += concat(", ", line.elements, " elements");
    text += concat(": ", line.first);
    if (line.parameters > 1) text += concat(line.parameters > 2 ? " ... " : ", ", line.last);
  }
  return text;
}

Value resolve_quant(const Value& given, const FieldPath& where) {
  if (given.is(Value::Type::Null)) return given;
  const Section section = read_section(given, where);
  QuantOptions options;
  options.forward = section.forward;
  options.rules = resolve_rules(section.rules, quantizer_registry());
  options.activations = section.activations;
  return write_fields(options);
}

Value quant_schema() {
  Value schema = fields_schema(QuantOptions{});
  schema.set("type", Value::array({Value::string("object"), Value::string("null")}));
  const auto describe = [&](const char* key, const Value& list) {
    Value* field = schema.find("properties")->find(key);
    for (const auto& [name, value] : list.members()) field->set(name, value);
  };
  describe("rules", rules_schema<ParameterMatch>(quantizer_registry()));
  describe("activations", activations_schema());
  return schema;
}

}  // namespace lathe
