#pragma once
// Options are plain structs that list their fields once. From that one list come strict parsing, the file
// with all defaults (resolved.json) and the documentation (`lathe schema`).
//
//   struct SgdOptions {
//     double lr = 0.1;
//     bool nesterov = false;
//     void fields(FieldVisitor& v) {
//       v.visit("lr", lr, {.doc = "learning rate", .min = 0});
//       v.visit("nesterov", nesterov, {.doc = "look ahead before the update"});
//     }
//   };

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/value.h"

namespace lathe {

struct FieldSpec {
  std::string_view doc;
  double min = -std::numeric_limits<double>::infinity();  ///< of a number, or of every element of a list
  double max = std::numeric_limits<double>::infinity();
  bool above_min = false;  ///< min itself is not allowed
  bool below_max = false;  ///< max itself is not allowed
  bool required = false;
  std::vector<std::string_view> choices = {};  ///< of a string; empty: any
};

/// Visited once per field, in order. Optional fields accept null.
class FieldVisitor {
 public:
  virtual void visit(std::string_view name, bool& value, const FieldSpec& spec) = 0;
  virtual void visit(std::string_view name, int64_t& value, const FieldSpec& spec) = 0;
  virtual void visit(std::string_view name, double& value, const FieldSpec& spec) = 0;
  virtual void visit(std::string_view name, std::string& value, const FieldSpec& spec) = 0;
  virtual void visit(std::string_view name, std::optional<double>& value, const FieldSpec& spec) = 0;
  virtual void visit(std::string_view name, std::optional<int64_t>& value, const FieldSpec& spec) = 0;
  virtual void visit(std::string_view name, std::vector<int64_t>& value, const FieldSpec& spec) = 0;
  virtual void visit(std::string_view name, std::vector<double>& value, const FieldSpec& spec) = 0;
  virtual void visit(std::string_view name, std::vector<std::string>& value, const FieldSpec& spec) = 0;
  /// A section that a registry or another struct reads later.
  virtual void visit(std::string_view name, Value& value, const FieldSpec& spec) = 0;

 protected:
  ~FieldVisitor() = default;
};

/// Where a section stands, for messages: "exp.json:12: model.blocks: ...".
struct FieldPath {
  std::string file;
  std::string path;  ///< "model", "optimizer.groups[1]"
  FieldPath operator/(std::string_view key) const;
  FieldPath operator[](size_t index) const;
};

namespace detail {
using FieldLister = void (*)(void* options, FieldVisitor& visitor);
void read_fields(void* options, FieldLister lister, const Value& section, const FieldPath& where,
                 const std::vector<std::string_view>& also_allowed);
Value write_fields(void* options, FieldLister lister);
template <class T>
void list_fields(void* options, FieldVisitor& visitor) {
  static_cast<T*>(options)->fields(visitor);
}
}  // namespace detail

/// Fills `options` from an object. Strict: ConfigError with file, line and path for an unknown key (naming
/// the nearest known one), a missing required key, a wrong type, a number out of range, a string outside its
/// choices. Keys in `also_allowed` ("type") are someone else's.
template <class T>
void read_fields(T& options, const Value& section, const FieldPath& where,
                 const std::vector<std::string_view>& also_allowed = {}) {
  detail::read_fields(&options, &detail::list_fields<T>, section, where, also_allowed);
}

/// An object with every field, defaults included.
template <class T>
Value write_fields(T options) {
  return detail::write_fields(&options, &detail::list_fields<T>);
}

/// JSON Schema ("type": "object", properties, required, additionalProperties: false) of T's fields with its
/// defaults.
namespace detail {
Value fields_schema(void* options, FieldLister lister);
}
template <class T>
Value fields_schema(T defaults = {}) {
  return detail::fields_schema(&defaults, &detail::list_fields<T>);
}

/// The candidate closest to `name` by edit distance, when it is close enough to be a typing error; empty
/// otherwise.
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

/// "unknown key 'x', did you mean 'y'?", or the known keys when none is near.
std::string unknown_key_message(std::string_view key, const std::vector<std::string>& known);

/// ConfigError "FILE:LINE: PATH: message" (parts that are unknown are left out).
[[noreturn]] void config_error(const FieldPath& where, int line, const std::string& message);

}  // namespace lathe
