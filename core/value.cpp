#include "core/value.h"

#include <algorithm>

#include "core/error.h"
#include "core/json.h"

namespace lathe {
namespace {

void expect(const Value& value, Value::Type expected) {
  LATHE_CHECK(ConfigError, value.is(expected), "expected ", describe(expected), ", found ",
              describe(value.type()));
}

}  // namespace

Value Value::boolean(bool b) {
  Value value;
  value.type_ = Type::Bool;
  value.bool_ = b;
  return value;
}

Value Value::integer(int64_t i) {
  Value value;
  value.type_ = Type::Int;
  value.int_ = i;
  return value;
}

Value Value::real(double d) {
  Value value;
  value.type_ = Type::Real;
  value.real_ = d;
  return value;
}

Value Value::string(std::string s) {
  Value value;
  value.type_ = Type::String;
  value.string_ = std::move(s);
  return value;
}

Value Value::array(std::vector<Value> items) {
  Value value;
  value.type_ = Type::Array;
  value.items_ = std::move(items);
  return value;
}

Value Value::object(std::vector<Member> members) {
  Value value;
  value.type_ = Type::Object;
  value.members_ = std::move(members);
  return value;
}

bool Value::as_bool() const {
  expect(*this, Type::Bool);
  return bool_;
}

int64_t Value::as_int() const {
  expect(*this, Type::Int);
  return int_;
}

double Value::as_real() const {
  LATHE_CHECK(ConfigError, is_number(), "expected a number, found ", lathe::describe(type_));
  return type_ == Type::Int ? static_cast<double>(int_) : real_;
}

const std::string& Value::as_string() const {
  expect(*this, Type::String);
  return string_;
}

const std::vector<Value>& Value::items() const {
  expect(*this, Type::Array);
  return items_;
}

const std::vector<Value::Member>& Value::members() const {
  expect(*this, Type::Object);
  return members_;
}

const Value* Value::find(std::string_view key) const {
  const auto it = std::find_if(members_.begin(), members_.end(),
                               [&](const Member& member) { return member.first == key; });
  return it == members_.end() ? nullptr : &it->second;
}

Value* Value::find(std::string_view key) {
  return const_cast<Value*>(static_cast<const Value*>(this)->find(key));
}

Value* Value::at(size_t index) {
  return is(Type::Array) && index < items_.size() ? &items_[index] : nullptr;
}

Value& Value::set(std::string_view key, Value value) {
  expect(*this, Type::Object);
  if (Value* existing = find(key)) {
    *existing = std::move(value);
    return *existing;
  }
  return members_.emplace_back(std::string(key), std::move(value)).second;
}

void Value::append(std::string key, Value value) {
  expect(*this, Type::Object);
  members_.emplace_back(std::move(key), std::move(value));
}

void Value::push_back(Value item) {
  expect(*this, Type::Array);
  items_.push_back(std::move(item));
}

void Value::forget_lines() {
  line_ = 0;
  for (Value& item : items_) item.forget_lines();
  for (Member& member : members_) member.second.forget_lines();
}

bool Value::operator==(const Value& other) const {
  if (type_ != other.type_) return false;
  switch (type_) {
    case Type::Null:
      return true;
    case Type::Bool:
      return bool_ == other.bool_;
    case Type::Int:
      return int_ == other.int_;
    case Type::Real:
      return real_ == other.real_;
    case Type::String:
      return string_ == other.string_;
    case Type::Array:
      return items_ == other.items_;
    case Type::Object:
      break;
  }
  return members_.size() == other.members_.size() &&
         std::all_of(members_.begin(), members_.end(), [&](const Member& member) {
           const Value* found = other.find(member.first);
           return found != nullptr && *found == member.second;
         });
}

std::string_view describe(Value::Type type) {
  switch (type) {
    case Value::Type::Null:
      return "null";
    case Value::Type::Bool:
      return "a boolean";
    case Value::Type::Int:
      return "an integer";
    case Value::Type::Real:
      return "a real number";
    case Value::Type::String:
      return "a string";
    case Value::Type::Array:
      return "an array";
    case Value::Type::Object:
      break;
  }
  return "an object";
}

std::string describe(const Value& value) {
  constexpr size_t kLongest = 40;
  switch (value.type()) {
    case Value::Type::Null:
    case Value::Type::Array:
    case Value::Type::Object:
      return std::string(describe(value.type()));
    case Value::Type::Bool:
      return "the boolean " + to_json(value);
    case Value::Type::Int:
      return "the integer " + to_json(value);
    case Value::Type::Real:
      return "the real number " + to_json(value);
    case Value::Type::String:
      break;
  }
  const std::string& text = value.as_string();
  if (text.size() <= kLongest) return "the string " + to_json(value);
  size_t end = kLongest;  // the beginning of a code point
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return concat("the string ", to_json(Value::string(text.substr(0, end) + "...")));
}

}  // namespace lathe
