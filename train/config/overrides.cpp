#include "train/config/overrides.h"

#include <charconv>
#include <vector>

#include "core/error.h"
#include "core/json.h"

namespace lathe {
namespace {

/// JSON, or else the text itself.
Value parse_value(std::string_view text) {
  try {
    Value value = parse_json(text, "--set");
    value.forget_lines();  // a line of the command line is none of the file
    return value;
  } catch (const ConfigError&) {
    return Value::string(std::string(text));
  }
}

class Override {
 public:
  explicit Override(std::string_view set) : set_(set) {
    const size_t equals = set.find('=');
    if (equals == std::string_view::npos) fail("expected PATH=VALUE");
    value_ = parse_value(set.substr(equals + 1));
    split(set.substr(0, equals));
  }

  void apply(Value& root, const Value& defaults) {
    Value* at = &root;
    std::string path;
    for (size_t i = 0; i + 1 < parts_.size(); ++i) {
      Value* next = child(*at, parts_[i], path);
      if (next == nullptr) {
        const Value* usual = i == 0 ? defaults.find(parts_[0]) : nullptr;
        const bool section = usual != nullptr && usual->is(Value::Type::Object);
        next = &at->set(parts_[i], section ? *usual : Value::object());
      }
      path += concat(path.empty() ? "" : ".", parts_[i]);
      at = next;
    }
    if (Value* last = child(*at, parts_.back(), path)) {
      *last = std::move(value_);
    } else {
      at->set(parts_.back(), std::move(value_));
    }
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    LATHE_THROW(ConfigError, "--set ", set_, ": ", message);
  }

  /// "a.b[1].c" and "a.b.1.c" are a, b, 1, c.
  void split(std::string_view path) {
    std::string part;
    const auto finish = [&] {
      if (part.empty()) fail("the path has an empty part");
      parts_.push_back(std::move(part));
      part.clear();
    };
    for (size_t i = 0; i < path.size(); ++i) {
      const bool after_index = i > 0 && path[i - 1] == ']';
      if (path[i] == '.') {
        if (!after_index) finish();
      } else if (path[i] == '[') {
        if (!after_index) finish();
        const size_t close = path.find(']', i);
        if (close == std::string_view::npos) fail("a '[' is not closed");
        part = path.substr(i + 1, close - i - 1);
        finish();
        i = close;
      } else {
        if (after_index) fail("expected '.' or '[' after ']'");
        part += path[i];
      }
    }
    if (path.empty() || path.back() != ']') finish();
  }

  /// Member or item `part` of `parent`, which stands at `path`; null when an object has no such member.
  Value* child(Value& parent, const std::string& part, const std::string& path) const {
    if (parent.is(Value::Type::Object)) return parent.find(part);
    if (!parent.is(Value::Type::Array)) {
      fail(concat("'", path, "' is ", describe(parent.type()), " and has no parts"));
    }
    size_t index = 0;
    const char* end = part.data() + part.size();
    const auto [stop, error] = std::from_chars(part.data(), end, index);
    if (error != std::errc() || stop != end) fail(concat("'", path, "' is a list, '", part, "' is no index"));
    Value* item = parent.at(index);
    if (item == nullptr) fail(concat("'", path, "' has ", parent.items().size(), " items, counted from 0"));
    return item;
  }

  std::string_view set_;
  std::vector<std::string> parts_;
  Value value_;
};

}  // namespace

void apply_override(Value& root, std::string_view set, const Value& defaults) {
  Override(set).apply(root, defaults);
}

}  // namespace lathe
