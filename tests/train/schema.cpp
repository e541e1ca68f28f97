// The schema and the reader come from the same tables: what one accepts, so does the other.

#include <algorithm>
#include <filesystem>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "train/config/experiment.h"

using lathe::parse_json;
using lathe::Value;

namespace {

bool has_type(const Value& value, const std::string& type) {
  if (type == "object") return value.is(Value::Type::Object);
  if (type == "array") return value.is(Value::Type::Array);
  if (type == "string") return value.is(Value::Type::String);
  if (type == "boolean") return value.is(Value::Type::Bool);
  if (type == "integer") return value.is(Value::Type::Int);
  if (type == "number") return value.is_number();
  if (type == "null") return value.is(Value::Type::Null);
  throw std::runtime_error("the schema has an unknown type " + type);
}

bool contains(const Value& list, const Value& value) {
  const auto& items = list.items();
  return std::find(items.begin(), items.end(), value) != items.end();
}

bool in_range(const Value& schema, double number) {
  const auto limit = [&](const char* key, double otherwise) {
    const Value* found = schema.find(key);
    return found == nullptr ? otherwise : found->as_real();
  };
  return number >= limit("minimum", number) && number <= limit("maximum", number) &&
         number > limit("exclusiveMinimum", number - 1) && number < limit("exclusiveMaximum", number + 1);
}

/// The part of JSON Schema that the generator uses; any other keyword is an error.
bool valid(const Value& schema, const Value& value);

bool valid_object(const Value& schema, const Value& value) {
  const Value* properties = schema.find("properties");
  const Value* closed = schema.find("additionalProperties");
  for (const auto& [key, member] : value.members()) {
    const Value* property = properties == nullptr ? nullptr : properties->find(key);
    if (property == nullptr && closed != nullptr) return false;
    if (property != nullptr && !valid(*property, member)) return false;
  }
  const Value* required = schema.find("required");
  if (required == nullptr) return true;
  const auto& keys = required->items();
  return std::all_of(keys.begin(), keys.end(),
                     [&](const Value& key) { return value.find(key.as_string()) != nullptr; });
}

bool valid(const Value& schema, const Value& value) {
  for (const auto& [key, part] : schema.members()) {
    if (key == "type") {
      const bool fits = part.is(Value::Type::Array)
                            ? std::any_of(part.items().begin(), part.items().end(),
                                          [&](const Value& t) { return has_type(value, t.as_string()); })
                            : has_type(value, part.as_string());
      if (!fits) return false;
    } else if (key == "oneOf") {
      const auto fits = [&](const Value& choice) { return valid(choice, value); };
      if (std::count_if(part.items().begin(), part.items().end(), fits) != 1) return false;
    } else if (key == "const") {
      if (!(value == part)) return false;
    } else if (key == "enum") {
      if (!contains(part, value)) return false;
    } else if (key == "items") {
      if (!value.is(Value::Type::Array)) continue;
      const auto& items = value.items();
      if (!std::all_of(items.begin(), items.end(), [&](const Value& v) { return valid(part, v); }))
        return false;
    } else {
      static const std::vector<std::string> others = {
          "$schema", "title",   "description",      "default",          "properties",          "required",
          "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "additionalProperties"};
      if (std::find(others.begin(), others.end(), key) == others.end()) {
        throw std::runtime_error("the schema has an unknown keyword " + key);
      }
    }
  }
  if (value.is_number() && !in_range(schema, value.as_real())) return false;
  return !value.is(Value::Type::Object) || valid_object(schema, value);
}

bool reads(const std::string& text, const std::vector<std::string>& sets = {}) {
  try {
    lathe::parse_experiment(text, "t", sets);
    return true;
  } catch (const lathe::ConfigError&) {
    return false;
  }
}

}  // namespace

TEST_SUITE_BEGIN("train");

TEST_CASE("schema: accepts every shipped experiment, as given and resolved") {
  const Value schema = lathe::experiment_schema();
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(LATHE_SOURCE_DIR "/train/experiments")) {
    if (entry.is_directory()) continue;
    CAPTURE(entry.path().string());
    const std::string text = lathe::read_text(entry.path());
    CHECK(valid(schema, parse_json(text, "t", {.comments = true})));
    CHECK(valid(schema, lathe::resolve_experiment(lathe::load_experiment(entry.path()))));
    ++files;
  }
  CHECK(files > 0);
}

TEST_CASE("schema: agrees with the reader about what is wrong") {
  const Value schema = lathe::experiment_schema();
  const std::string text = lathe::read_text(LATHE_SOURCE_DIR "/train/experiments/glyphs.json");
  const Value resolved = lathe::resolve_experiment(lathe::parse_experiment(text, "t"));
  struct Row {
    const char* section;  // null: the top level
    const char* key;
    const char* value;  // null: remove the key
    bool fine;
  };
  const Row rows[] = {
      {nullptr, "seed", "2", true},
      {nullptr, "seed", "-1", false},
      {nullptr, "seed", "1.5", false},
      {nullptr, "seed", nullptr, false},
      {nullptr, "sede", "1", false},
      {nullptr, "threads", "null", true},
      {nullptr, "threads", "0", false},
      {nullptr, "schema", "2", false},
      {nullptr, "data", nullptr, false},
      {nullptr, "loss", nullptr, true},
      {nullptr, "train", "{}", false},
      {"train", "clip_norm", "0", false},
      {"train", "clip_norm", "0.5", true},
      {"train", "ema", "1", false},
      {"train", "ema", "0.5", true},
      {"output", "keep", "0", false},
      {"output", "kept", "1", false},
      {"data", "batch", "0", false},
      {"data", "limit", "null", true},
      {"data", "type", "\"gliphs\"", false},
      {"data", "type", nullptr, false},
      {"model", "classes", "\"ten\"", false},
      {"loss", "label_smoothing", "0.25", true},
      {"loss", "label_smoothing", "-0.25", false},
      {"optimizer", "lr", "-1", false},
      {"optimizer", "groups", "[{\"kind\": \"bias\", \"lr\": 0.5}]", true},
      {"optimizer", "groups", "[{\"knid\": \"bias\"}]", false},
      {"optimizer", "groups", "[{\"kind\": \"biass\"}]", false},
      {"schedule", "warmup_epochs", "-1", false},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.key));
    CAPTURE(std::string(row.value == nullptr ? "(removed)" : row.value));
    Value changed = resolved;
    Value& place = row.section == nullptr ? changed : *changed.find(row.section);
    if (row.value != nullptr) {
      place.set(row.key, parse_json(row.value, "t"));
    } else {
      Value rest = Value::object();
      for (const auto& [key, value] : place.members()) {
        if (key != row.key) rest.set(key, value);
      }
      place = rest;
    }
    CHECK(reads(lathe::to_json(changed)) == row.fine);
    CHECK(valid(schema, changed) == row.fine);
  }
}

TEST_SUITE_END();
