#include "core/fields.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/json.h"

namespace lathe {
namespace {

bool holds(const FieldSpec& spec, double number) {
  const bool above = spec.above_min ? number > spec.min : number >= spec.min;
  const bool below = spec.below_max ? number < spec.max : number <= spec.max;
  return above && below;
}

/// A limit as people write it: 1, not 1.0 or 1e+07.
Value limit_value(double limit) {
  constexpr double kExact = 1e15;
  const bool whole = limit == std::trunc(limit) && std::abs(limit) < kExact;
  return whole ? Value::integer(static_cast<int64_t>(limit)) : Value::real(limit);
}

std::string limit_text(double limit) {
  return to_json(limit_value(limit));
}

/// "at least 0 and below 1"
std::string range_text(const FieldSpec& spec) {
  std::string text;
  if (std::isfinite(spec.min)) text = concat(spec.above_min ? "above " : "at least ", limit_text(spec.min));
  if (std::isfinite(spec.max)) {
    text += concat(text.empty() ? "" : " and ", spec.below_max ? "below " : "at most ", limit_text(spec.max));
  }
  return text;
}

template <class T>
constexpr std::string_view element_name() {
  if constexpr (std::is_same_v<T, bool>) return "a boolean";
  if constexpr (std::is_same_v<T, int64_t>) return "an integer";
  if constexpr (std::is_same_v<T, double>) return "a number";
  return "a string";
}

Value to_value(bool v) {
  return Value::boolean(v);
}
Value to_value(int64_t v) {
  return Value::integer(v);
}
Value to_value(double v) {
  return Value::real(v);
}
Value to_value(const std::string& v) {
  return Value::string(v);
}
Value to_value(const Value& v) {
  return v;
}
template <class T>
Value to_value(const std::optional<T>& v) {
  return v ? to_value(*v) : Value();
}
template <class T>
Value to_value(const std::vector<T>& v) {
  Value list = Value::array();
  for (const T& item : v) list.push_back(to_value(item));
  return list;
}

/// Forwards every visit to Derived::field, a template over the field's type.
template <class Derived>
class AnyField : public FieldVisitor {
 public:
  using Name = std::string_view;
  void visit(Name name, bool& v, const FieldSpec& s) final { self().field(name, v, s); }
  void visit(Name name, int64_t& v, const FieldSpec& s) final { self().field(name, v, s); }
  void visit(Name name, double& v, const FieldSpec& s) final { self().field(name, v, s); }
  void visit(Name name, std::string& v, const FieldSpec& s) final { self().field(name, v, s); }
  void visit(Name name, std::optional<double>& v, const FieldSpec& s) final { self().field(name, v, s); }
  void visit(Name name, std::optional<int64_t>& v, const FieldSpec& s) final { self().field(name, v, s); }
  void visit(Name name, std::vector<int64_t>& v, const FieldSpec& s) final { self().field(name, v, s); }
  void visit(Name name, std::vector<double>& v, const FieldSpec& s) final { self().field(name, v, s); }
  void visit(Name name, std::vector<std::string>& v, const FieldSpec& s) final { self().field(name, v, s); }
  void visit(Name name, Value& v, const FieldSpec& s) final { self().field(name, v, s); }

 protected:
  ~AnyField() = default;

 private:
  Derived& self() { return static_cast<Derived&>(*this); }
};

class NameCollector final : public AnyField<NameCollector> {
 public:
  template <class T>
  void field(std::string_view name, T&, const FieldSpec&) {
    names.emplace_back(name);
  }
  std::vector<std::string> names;
};

class Writer final : public AnyField<Writer> {
 public:
  template <class T>
  void field(std::string_view name, T& value, const FieldSpec&) {
    out.append(std::string(name), to_value(value));
  }
  Value out = Value::object();
};

class Reader final : public AnyField<Reader> {
 public:
  Reader(const Value& section, const FieldPath& where) : section_(section), where_(where) {}

  template <class T>
  void field(std::string_view name, T& value, const FieldSpec& spec) {
    const Value* found = section_.find(name);
    if (found == nullptr) {
      if (spec.required)
        config_error(where_, section_.line(), concat("required key '", name, "' is missing"));
      return;
    }
    assign(value, *found, spec, where_ / name);
  }

 private:
  template <class T>
  static void assign(T& value, const Value& found, const FieldSpec& spec, const FieldPath& where) {
    if (!matches<T>(found)) {
      config_error(where, found.line(), concat("expected ", element_name<T>(), ", found ", describe(found)));
    }
    if constexpr (std::is_same_v<T, bool>) {
      value = found.as_bool();
    } else if constexpr (std::is_same_v<T, std::string>) {
      value = found.as_string();
      check_choice(value, spec, found.line(), where);
    } else {
      const double number = found.as_real();
      if (!holds(spec, number)) {
        config_error(where, found.line(),
                     concat("expected ", element_name<T>(), " ", range_text(spec), ", found ", number));
      }
      if constexpr (std::is_same_v<T, double>) {
        value = number;
      } else {
        value = found.as_int();
      }
    }
  }

  static void assign(Value& value, const Value& found, const FieldSpec&, const FieldPath&) { value = found; }

  template <class T>
  static void assign(std::optional<T>& value, const Value& found, const FieldSpec& spec,
                     const FieldPath& where) {
    if (found.is(Value::Type::Null)) {
      value.reset();
      return;
    }
    T inner{};
    assign(inner, found, spec, where);
    value = inner;
  }

  template <class T>
  static void assign(std::vector<T>& value, const Value& found, const FieldSpec& spec,
                     const FieldPath& where) {
    if (!found.is(Value::Type::Array)) {
      config_error(where, found.line(), concat("expected an array, found ", describe(found)));
    }
    std::vector<T> list;
    for (const Value& item : found.items()) {
      T inner{};
      assign(inner, item, spec, where[list.size()]);
      list.push_back(std::move(inner));
    }
    value = std::move(list);
  }

  template <class T>
  static bool matches(const Value& found) {
    if constexpr (std::is_same_v<T, bool>) return found.is(Value::Type::Bool);
    if constexpr (std::is_same_v<T, int64_t>) return found.is(Value::Type::Int);
    if constexpr (std::is_same_v<T, double>) return found.is_number();
    return found.is(Value::Type::String);
  }

  static void check_choice(const std::string& value, const FieldSpec& spec, int line,
                           const FieldPath& where) {
    if (spec.choices.empty()) return;
    if (std::find(spec.choices.begin(), spec.choices.end(), value) != spec.choices.end()) return;
    std::string list;
    for (const std::string_view choice : spec.choices)
      list += concat(list.empty() ? "'" : ", '", choice, "'");
    config_error(where, line, concat("expected one of ", list, ", found '", value, "'"));
  }

  const Value& section_;
  const FieldPath& where_;
};

class SchemaWriter final : public AnyField<SchemaWriter> {
 public:
  template <class T>
  void field(std::string_view name, T& value, const FieldSpec& spec) {
    Value property = type_of(value, spec);
    if (!spec.doc.empty()) property.set("description", Value::string(std::string(spec.doc)));
    if (spec.required) {
      required.push_back(Value::string(std::string(name)));
    } else if (!is_unset(value)) {
      property.set("default", to_value(value));
    }
    properties.append(std::string(name), std::move(property));
  }

  Value properties = Value::object();
  Value required = Value::array();

 private:
  template <class T>
  static bool is_unset(const T&) {
    return false;
  }
  static bool is_unset(const Value& value) { return value.is(Value::Type::Null); }

  static Value named(std::string_view type) {
    return Value::object({{"type", Value::string(std::string(type))}});
  }

  static void add_range(Value& property, const FieldSpec& spec) {
    if (std::isfinite(spec.min)) {
      property.set(spec.above_min ? "exclusiveMinimum" : "minimum", limit_value(spec.min));
    }
    if (std::isfinite(spec.max)) {
      property.set(spec.below_max ? "exclusiveMaximum" : "maximum", limit_value(spec.max));
    }
  }

  static Value type_of(bool, const FieldSpec&) { return named("boolean"); }
  static Value type_of(int64_t, const FieldSpec& spec) {
    Value property = named("integer");
    add_range(property, spec);
    return property;
  }
  static Value type_of(double, const FieldSpec& spec) {
    Value property = named("number");
    add_range(property, spec);
    return property;
  }
  static Value type_of(const std::string&, const FieldSpec& spec) {
    Value property = named("string");
    if (spec.choices.empty()) return property;
    Value choices = Value::array();
    for (const std::string_view choice : spec.choices) choices.push_back(Value::string(std::string(choice)));
    property.set("enum", std::move(choices));
    return property;
  }
  static Value type_of(const Value&, const FieldSpec&) { return Value::object(); }
  template <class T>
  static Value type_of(const std::optional<T>&, const FieldSpec& spec) {
    Value property = type_of(T{}, spec);
    const Value inner = *property.find("type");
    property.set("type", Value::array({inner, Value::string("null")}));
    return property;
  }
  template <class T>
  static Value type_of(const std::vector<T>&, const FieldSpec& spec) {
    Value property = named("array");
    property.set("items", type_of(T{}, spec));
    return property;
  }
};

void refuse_unknown_keys(const Value& section, const FieldPath& where,
                         const std::vector<std::string>& known) {
  for (const auto& [key, value] : section.members()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    config_error(where, value.line(), unknown_key_message(key, known));
  }
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn a into b, ignoring case.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1;
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + change});
      const bool swapped =
          i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]);
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

FieldPath FieldPath::operator/(std::string_view key) const {
  return {file, path.empty() ? std::string(key) : concat(path, ".", key)};
}

FieldPath FieldPath::operator[](size_t index) const {
  return {file, concat(path, "[", index, "]")};
}

void config_error(const FieldPath& where, int line, const std::string& message) {
  std::string text = where.file;
  if (line > 0) text += concat(text.empty() ? "line " : ":", line);
  if (!text.empty()) text += ": ";
  if (!where.path.empty()) text += where.path + ": ";
  LATHE_THROW(ConfigError, text, message);
}

std::string unknown_key_message(std::string_view key, const std::vector<std::string>& known) {
  const std::string near = nearest(key, known);
  if (!near.empty()) return concat("unknown key '", key, "', did you mean '", near, "'?");
  std::string list;
  for (const std::string& name : known) list += concat(list.empty() ? "" : ", ", name);
  return concat("unknown key '", key, "'; known keys: ", list.empty() ? "none" : list);
}

std::string nearest(std::string_view name, const std::vector<std::string>& candidates) {
  constexpr size_t kLongest = 200;  // longer names are no typing errors, and the distance is quadratic
  if (name.size() > kLongest) return {};
  const size_t limit = std::clamp<size_t>((name.size() + 1) / 3, 1, 3);
  size_t best = limit + 1;
  std::string found;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > name.size() + limit || name.size() > candidate.size() + limit) continue;
    const size_t distance = edit_distance(name, candidate);
    if (distance >= best || distance >= candidate.size()) continue;
    best = distance;
    found = candidate;
  }
  return found;
}

namespace detail {

void read_fields(void* options, FieldLister lister, const Value& section, const FieldPath& where,
                 const std::vector<std::string_view>& also_allowed) {
  if (!section.is(Value::Type::Object)) {
    config_error(where, section.line(), concat("expected an object, found ", describe(section)));
  }
  // First, so that a misspelt required key is reported as misspelt and not as missing.
  NameCollector collector;
  lister(options, collector);
  for (const std::string_view name : also_allowed) collector.names.emplace_back(name);
  refuse_unknown_keys(section, where, collector.names);
  Reader reader(section, where);
  lister(options, reader);
}

Value write_fields(void* options, FieldLister lister) {
  Writer writer;
  lister(options, writer);
  return std::move(writer.out);
}

Value fields_schema(void* options, FieldLister lister) {
  SchemaWriter writer;
  lister(options, writer);
  Value schema = Value::object({{"type", Value::string("object")}});
  schema.set("properties", std::move(writer.properties));
  if (!writer.required.items().empty()) schema.set("required", std::move(writer.required));
  schema.set("additionalProperties", Value::boolean(false));
  return schema;
}

}  // namespace detail
}  // namespace lathe
