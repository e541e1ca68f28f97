#pragma once
// A parsed JSON-like value that remembers where it stood. Options travel through the library as Values, so
// that no header shows a JSON library's types.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lathe {

/// Null, boolean, integer, real, string, array or object. Objects keep the order of their keys and have no
/// duplicates.
class Value {
 public:
  enum class Type : uint8_t { Null, Bool, Int, Real, String, Array, Object };
  using Member = std::pair<std::string, Value>;

  Value() = default;
  static Value boolean(bool b);
  static Value integer(int64_t i);
  static Value real(double d);
  static Value string(std::string s);
  static Value array(std::vector<Value> items = {});
  static Value object(std::vector<Member> members = {});

  Type type() const { return type_; }
  bool is(Type type) const { return type_ == type; }
  bool is_number() const { return type_ == Type::Int || type_ == Type::Real; }

  /// Typed access; ConfigError naming `expected` and found type on a mismatch. as_real accepts integers.
  bool as_bool() const;
  int64_t as_int() const;
  double as_real() const;
  const std::string& as_string() const;
  const std::vector<Value>& items() const;     ///< of an array
  const std::vector<Member>& members() const;  ///< of an object

  /// Member of an object by key, or null when there is none (or this is no object).
  const Value* find(std::string_view key) const;
  Value* find(std::string_view key);
  /// Item of an array, or null when there is none (or this is no array).
  Value* at(size_t index);
  /// Sets or appends a member; this must be an object.
  Value& set(std::string_view key, Value value);
  /// Appends a member that is known to be new, without looking for it.
  void append(std::string key, Value value);
  void push_back(Value item);  ///< this must be an array

  /// Line of the text this was read from, from 1; 0 when it was not read from a text.
  int line() const { return line_; }
  void set_line(int line) { line_ = line; }
  /// As if neither this nor anything in it had been read from a text.
  void forget_lines();

  /// Compares types and contents, not lines, nor the order of keys.
  bool operator==(const Value& other) const;

 private:
  Type type_ = Type::Null;
  bool bool_ = false;
  int64_t int_ = 0;
  double real_ = 0;
  int line_ = 0;
  std::string string_;
  std::vector<Value> items_;
  std::vector<Member> members_;
};

/// "an integer", "an object", ... for messages.
std::string_view describe(Value::Type type);
/// The value too, where it is short: "the integer 3", "the string \"NaN\"", "an object". A long string is
/// cut.
std::string describe(const Value& value);

}  // namespace lathe
