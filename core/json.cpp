#include "core/json.h"

#include <cctype>
#include <charconv>
#include <cmath>
#include <iterator>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "core/error.h"

namespace lathe {
namespace {

using nlohmann::json;

/// The character read last and its line. A newline belongs to the line it ends, so that the character read
/// after a number does not move the number to the next line.
struct Cursor {
  const char* last = nullptr;
  int line = 1;
  void read(const char* c) {
    if (last != nullptr && *last == '\n') ++line;
    last = c;
  }
};

/// Characters of a text; counts lines as it advances. Copies share the cursor.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, Cursor* cursor) : at_(at), cursor_(cursor) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    cursor_->read(at_++);
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator old = *this;
    ++*this;
    return old;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  Cursor* cursor_;
};

/// Text between two markers of the JSON library's message; empty when they are not there.
std::string_view between(std::string_view text, std::string_view from, std::string_view to) {
  const size_t begin = text.find(from);
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin + from.size());
  return text.substr(0, text.find(to));
}

std::string shorten(std::string text) {
  constexpr size_t kLongest = 40;
  if (text.size() <= kLongest) return text;
  size_t end = kLongest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // between characters
  text.resize(end);
  return text + "...";
}

/// Builds the Value from the JSON library's events.
class Builder final : public nlohmann::json_sax<json> {
 public:
  Builder(std::string_view text, std::string_view source, const JsonOptions& options)
      : text_(text), source_(source), options_(options) {}

  Cursor* cursor() { return &cursor_; }
  Value take() { return std::move(root_); }

  bool null() override { return place(Value()); }
  bool boolean(bool b) override { return place(Value::boolean(b)); }
  bool number_integer(number_integer_t i) override { return place(Value::integer(i)); }
  bool number_unsigned(number_unsigned_t i) override {
    if (i > static_cast<uint64_t>(INT64_MAX)) return place(Value::real(static_cast<double>(i)));
    return place(Value::integer(static_cast<int64_t>(i)));
  }
  bool number_float(number_float_t d, const string_t&) override { return place(Value::real(d)); }
  bool string(string_t& s) override { return place(Value::string(std::move(s))); }
  bool binary(binary_t&) override { return false; }  // not in JSON text

  bool start_object(size_t) override { return open(Value::object()); }
  bool end_object() override { return close(); }
  bool start_array(size_t) override { return open(Value::array()); }
  bool end_array() override { return close(); }

  bool key(string_t& key) override {
    Level& level = levels_.back();
    const auto [it, fresh] = level.key_lines.emplace(key, cursor_.line);
    if (!fresh) {
      fail(concat("key '", shorten(key), "' appears twice, first on line ", it->second));
    }
    level.key = std::move(key);
    return true;
  }

  bool parse_error(size_t, const std::string& token, const nlohmann::detail::exception& error) override {
    constexpr int kNumberOverflow = 406;
    if (error.id == kNumberOverflow) fail(concat("number ", shorten(token), " is out of range"));
    const std::string_view what = error.what();
    const std::string_view detail = between(what, " - ", ";");
    const std::string found = found_text(detail, token);
    if (found == "/" && !options_.comments) fail("comments are not allowed here");
    if (found.empty()) fail(concat(between(what, " - ", "; last read"), ", found ", shorten(token)));
    const bool after = detail != "unexpected end of input" && what.ends_with("expected end of input");
    const std::string_view context = between(what, "while parsing ", " - ");
    fail(concat("expected ", after ? "the end of the text" : expected(context), ", found ", found));
  }

 private:
  struct Level {
    Value value;
    std::string key;  // of the member being read
    std::unordered_map<std::string, int> key_lines;
  };

  [[noreturn]] void fail(const std::string& message) const {
    LATHE_THROW(ConfigError, source_, ":", cursor_.line, ": ", message);
  }

  /// What may stand at this place.
  std::string expected(std::string_view context) const {
    if (context == "object key") {
      const bool first = !levels_.empty() && levels_.back().key_lines.empty();
      return first ? "a key in double quotes or '}'" : "a key in double quotes";
    }
    if (context == "object separator") {
      return levels_.empty() ? "':'" : concat("':' after key '", shorten(levels_.back().key), "'");
    }
    if (context == "object") return "',' or '}'";
    if (context == "array") return "',' or ']'";
    return "a value";
  }

  /// What stands where something else was expected; empty when a string, number or comment is malformed
  /// inside.
  std::string found_text(std::string_view detail, const std::string& token) const {
    if (detail == "invalid literal") return word();
    constexpr std::string_view kUnexpected = "unexpected ";
    if (detail.substr(0, kUnexpected.size()) != kUnexpected) return {};
    const std::string_view what = detail.substr(kUnexpected.size());
    if (what == "end of input") return "the end of the text";
    if (what == "string literal" || what == "number literal") return shorten(token);
    return std::string(what.substr(0, what.find(" literal")));
  }

  /// The word, or else the character, that was read last.
  std::string word() const {
    const auto in_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
    const char* begin = cursor_.last;
    if (begin > text_.data() && !in_word(*begin) && in_word(begin[-1])) --begin;
    const char* end = begin + 1;
    if (in_word(*begin)) {
      while (begin > text_.data() && in_word(begin[-1])) --begin;
      while (end < text_.data() + text_.size() && in_word(*end)) ++end;
    }
    return shorten(std::string(begin, end));
  }

  bool open(Value container) {
    if (levels_.size() >= static_cast<size_t>(options_.max_depth)) {
      fail(concat("nested deeper than ", options_.max_depth, " levels"));
    }
    container.set_line(cursor_.line);
    levels_.push_back({std::move(container), {}, {}});
    return true;
  }

  bool close() {
    Value value = std::move(levels_.back().value);
    levels_.pop_back();
    attach(std::move(value));
    return true;
  }

  bool place(Value value) {
    value.set_line(cursor_.line);
    attach(std::move(value));
    return true;
  }

  void attach(Value value) {
    if (levels_.empty()) {
      root_ = std::move(value);
      return;
    }
    Level& level = levels_.back();
    if (level.value.is(Value::Type::Object)) {
      level.value.append(std::move(level.key), std::move(value));
    } else {
      level.value.push_back(std::move(value));
    }
  }

  std::string_view text_;
  std::string_view source_;
  JsonOptions options_;
  Cursor cursor_;
  std::vector<Level> levels_;
  Value root_;
};

/// Bytes of the well-formed UTF-8 sequence at the front of `text`; 0 when there is none (RFC 3629).
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto follows = [&](size_t i, unsigned low, unsigned high) {
    return byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1, 0x80, 0xBF) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const unsigned low = first == 0xE0 ? 0xA0 : 0x80;
    const unsigned high = first == 0xED ? 0x9F : 0xBF;  // no surrogates
    return follows(1, low, high) && follows(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const unsigned low = first == 0xF0 ? 0x90 : 0x80;
    const unsigned high = first == 0xF4 ? 0x8F : 0xBF;
    return follows(1, low, high) && follows(2, 0x80, 0xBF) && follows(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

void write_string(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  while (!text.empty()) {
    const char c = text.front();
    size_t length = 1;
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += "\\u00";
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[static_cast<unsigned char>(c) & 15];
    } else if (const size_t whole = utf8_length(text); whole > 0) {
      out += text.substr(0, whole);
      length = whole;
    } else {
      out += "\xEF\xBF\xBD";  // U+FFFD
    }
    text.remove_prefix(length);
  }
  out += '"';
}

void write_real(std::string& out, double real) {
  if (!std::isfinite(real)) {
    out += "null";
    return;
  }
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, real);
  LATHE_ASSERT(error == std::errc(), "shortest digits of a double are at most 24 characters");
  const std::string_view text(digits, static_cast<size_t>(end - digits));
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos) out += ".0";  // reads back as a real
}

class Writer {
 public:
  explicit Writer(int indent) : indent_(indent) {}

  void write(const Value& value, int depth) {
    switch (value.type()) {
      case Value::Type::Null:
        out += "null";
        return;
      case Value::Type::Bool:
        out += value.as_bool() ? "true" : "false";
        return;
      case Value::Type::Int:
        out += std::to_string(value.as_int());
        return;
      case Value::Type::Real:
        return write_real(out, value.as_real());
      case Value::Type::String:
        return write_string(out, value.as_string());
      case Value::Type::Array:
        return write_array(value, depth);
      case Value::Type::Object:
        return write_object(value, depth);
    }
  }

  std::string out;

 private:
  void line(int depth) {
    out += '\n';
    out.append(static_cast<size_t>(indent_) * static_cast<size_t>(depth), ' ');
  }

  /// Arrays of plain values stay on one line.
  void write_array(const Value& value, int depth) {
    bool flat = true;
    for (const Value& item : value.items()) {
      flat = flat && !item.is(Value::Type::Array) && !item.is(Value::Type::Object);
    }
    const bool lines = indent_ >= 0 && !flat;
    out += '[';
    bool first = true;
    for (const Value& item : value.items()) {
      if (!first) out += indent_ >= 0 && !lines ? ", " : ",";
      first = false;
      if (lines) line(depth + 1);
      write(item, depth + 1);
    }
    if (lines) line(depth);
    out += ']';
  }

  void write_object(const Value& value, int depth) {
    out += '{';
    bool first = true;
    for (const auto& [key, member] : value.members()) {
      if (!first) out += ',';
      first = false;
      if (indent_ >= 0) line(depth + 1);
      write_string(out, key);
      out += indent_ >= 0 ? ": " : ":";
      write(member, depth + 1);
    }
    if (indent_ >= 0 && !first) line(depth);
    out += '}';
  }

  int indent_;
};

}  // namespace

Value parse_json(std::string_view text, std::string_view source, const JsonOptions& options) {
  Builder builder(text, source, options);
  const CountingIterator begin(text.data(), builder.cursor());
  const CountingIterator end(text.data() + text.size(), builder.cursor());
  const bool parsed =
      json::sax_parse(begin, end, &builder, nlohmann::detail::input_format_t::json, true, options.comments);
  LATHE_ASSERT(parsed, "the parser stopped without an error");
  return builder.take();
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string to_json(const Value& value, int indent) {
  Writer writer(indent);
  writer.write(value, 0);
  return std::move(writer.out);
}

}  // namespace lathe
