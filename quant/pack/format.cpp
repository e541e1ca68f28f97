#include "quant/pack/format.h"

#include <algorithm>
#include <cmath>

#include "core/json.h"

namespace lathe::quant {
namespace {

Value sorted(const Value& value, std::string_view where) {
  if (value.is(Value::Type::Real)) {
    LATHE_CHECK(FormatError, std::isfinite(value.as_real()), where, ": ", value.as_real(),
                " is no number of JSON");
  }
  if (value.is(Value::Type::String)) {
    LATHE_CHECK(FormatError, is_utf8(value.as_string()), where, ": a text is not UTF-8");
  }
  if (value.is(Value::Type::Array)) {
    Value items = Value::array();
    for (const Value& item : value.items()) items.push_back(sorted(item, where));
    return items;
  }
  if (!value.is(Value::Type::Object)) return value;
  std::vector<Value::Member> members;
  for (const auto& [key, member] : value.members()) {
    LATHE_CHECK(FormatError, is_utf8(key), where, ": a key is not UTF-8");
    members.emplace_back(key, sorted(member, where));
  }
  std::sort(members.begin(), members.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return Value::object(std::move(members));
}

Value parse_object(std::string_view text, std::string_view where) {
  Value header;
  try {
    header = parse_json(text, where);
  } catch (const ConfigError& error) {
    throw FormatError(error.what());
  }
  LATHE_CHECK(FormatError, header.is(Value::Type::Object), where, ": expected an object, found ",
              describe(header.type()));
  return header;
}

}  // namespace

std::string header_text(const Value& header, std::string_view where) {
  std::string text = to_json(sorted(header, where));
  parse_object(text, where);  // refuses keys that are twice there and too deep nesting
  return text;
}

Value parse_header(std::string_view text, std::string_view where) {
  Value header = parse_object(text, where);
  LATHE_CHECK(FormatError, to_json(sorted(header, where)) == text, where,
              ": expected compact JSON with sorted keys");
  return header;
}

}  // namespace lathe::quant
