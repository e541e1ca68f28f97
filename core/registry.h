#pragma once
// An explicit table of named components that are built from option structs. One mechanism for models, data
// sets, transforms, losses, optimizers and schedules; no static self-registration.

#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/fields.h"

namespace lathe {

template <class Product, class... Args>
struct RegistryEntry {
  std::string name;
  std::string doc;
  std::function<Product(const Value& section, const FieldPath& where, Args... args)> build;
  std::function<Value(const Value& section, const FieldPath& where)>
      resolve;  ///< with all defaults, "type" first
  std::function<Value()> schema;
};

/// An entry whose options start from `defaults`. The product is `make(options, args...)`, or
/// `make(options, where, args...)` where options hold sections that are read later.
template <class Product, class... Args, class Options, class Make>
RegistryEntry<Product, Args...> make_entry(std::string name, std::string doc, Options defaults, Make make) {
  const auto read = [defaults](const Value& section, const FieldPath& where) {
    Options options = defaults;
    read_fields(options, section, where, {"type"});
    return options;
  };
  RegistryEntry<Product, Args...> entry;
  entry.build = [read, make](const Value& section, const FieldPath& where, Args... args) -> Product {
    if constexpr (std::is_invocable_v<const Make&, const Options&, const FieldPath&, Args...>) {
      return make(read(section, where), where, std::forward<Args>(args)...);
    } else {
      return make(read(section, where), std::forward<Args>(args)...);
    }
  };
  entry.resolve = [read, name](const Value& section, const FieldPath& where) {
    const Value fields = write_fields(read(section, where));
    Value out = Value::object({{"type", Value::string(name)}});
    for (const auto& [key, value] : fields.members()) out.set(key, value);
    return out;
  };
  entry.schema = [defaults] { return fields_schema(defaults); };
  entry.name = std::move(name);
  entry.doc = std::move(doc);
  return entry;
}

template <class Product, class... Args>
class Registry {
 public:
  using Entry = RegistryEntry<Product, Args...>;
  Registry(std::string what, std::vector<Entry> entries)
      : what_(std::move(what)), entries_(std::move(entries)) {}

  const std::vector<Entry>& entries() const { return entries_; }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const Entry& entry : entries_) names.push_back(entry.name);
    return names;
  }

  /// Entry of section["type"]; ConfigError with the nearest name when there is none.
  const Entry& at(const Value& section, const FieldPath& where) const {
    if (!section.is(Value::Type::Object)) {
      config_error(where, section.line(),
                   concat("expected an object with a \"type\", found ", lathe::describe(section)));
    }
    const Value* type = section.find("type");
    if (type == nullptr) config_error(where, section.line(), "required key 'type' is missing");
    if (!type->is(Value::Type::String)) {
      config_error(where / "type", type->line(), concat("expected a string, found ", lathe::describe(*type)));
    }
    for (const Entry& entry : entries_) {
      if (entry.name == type->as_string()) return entry;
    }
    const std::string near = nearest(type->as_string(), names());
    config_error(
        where / "type", type->line(),
        concat("there is no ", what_, " '", type->as_string(), "'",
               near.empty() ? concat("; see `lathe list`") : concat(", did you mean '", near, "'?")));
  }

  Product build(const Value& section, const FieldPath& where, Args... args) const {
    return at(section, where).build(section, where, std::forward<Args>(args)...);
  }
  Value resolve(const Value& section, const FieldPath& where) const {
    return at(section, where).resolve(section, where);
  }

 private:
  std::string what_;
  std::vector<Entry> entries_;
};

}  // namespace lathe
