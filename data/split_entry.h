#pragma once
// Rows of split_registry(): what data sets of pictures, sounds and texts have in common.

#include <memory>
#include <string>
#include <utility>

#include "core/error.h"
#include "data/dataset.h"

namespace lathe {

/// A data set: open(options, where, split, seed) gives a split. ConfigError: no such split.
template <class Options, class Open>
SplitRegistry::Entry split_entry(std::string name, std::string doc, Options defaults, Open open) {
  return make_entry<std::unique_ptr<Dataset>, std::string, uint64_t>(
      std::move(name), std::move(doc), std::move(defaults),
      [open](const Options& options, const FieldPath& where, const std::string& split, uint64_t seed) {
        LATHE_CHECK(ConfigError, split == "train" || split == "test", "there is no split '", split,
                    "', expected 'train' or 'test'");
        return open(options, where, split, seed);
      });
}

/// {"type": "array", "items": one of the registry's}.
template <class Kinds>
Value array_schema(const Kinds& registry) {
  Value kinds = Value::array();
  for (const auto& entry : registry.entries()) {
    Value kind = entry.schema();
    kind.find("properties")->set("type", Value::object({{"const", Value::string(entry.name)}}));
    kind.set("required", Value::array({Value::string("type")}));
    kinds.push_back(std::move(kind));
  }
  return Value::object(
      {{"type", Value::string("array")}, {"items", Value::object({{"oneOf", std::move(kinds)}})}});
}

/// The entry with an "augment" key of the registry's kinds: its schema lists them, `complete` fills in the
/// defaults of a section's.
template <class Kinds>
SplitRegistry::Entry with_augment(SplitRegistry::Entry entry, const Kinds& registry,
                                  void (*complete)(Value& section, const FieldPath& where)) {
  entry.resolve = [complete, resolve = entry.resolve](const Value& section, const FieldPath& where) {
    Value resolved = resolve(section, where);
    complete(resolved, where);
    return resolved;
  };
  entry.schema = [&registry, schema = entry.schema] {
    Value object = schema();
    Value* properties = object.find("properties");
    Value augment = array_schema(registry);
    for (const char* key : {"description", "default"})
      augment.set(key, *properties->find("augment")->find(key));
    properties->set("augment", std::move(augment));
    return object;
  };
  return entry;
}

}  // namespace lathe
