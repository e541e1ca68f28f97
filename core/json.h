#pragma once
// JSON text to Value and back.

#include <string>
#include <string_view>

#include "core/value.h"

namespace lathe {

struct JsonOptions {
  bool comments = false;  ///< accept // and /* */
  int max_depth = 64;
};

/// Parses one JSON document. `source` names the text in messages ("exp.json"). Every value knows its line.
/// ConfigError "exp.json:12: ..." for a syntax error, a duplicate key (both lines named), invalid UTF-8, a
/// number out of range, too deep nesting, or text after the end.
Value parse_json(std::string_view text, std::string_view source, const JsonOptions& options = {});

/// True when the text is well-formed UTF-8 (RFC 3629).
bool is_utf8(std::string_view text);

/// Compact text when indent < 0. Reals use the shortest digits that read back the same; NaN and infinities
/// are written as null, bytes that are not UTF-8 as U+FFFD. The same Value always gives the same bytes.
std::string to_json(const Value& value, int indent = -1);

}  // namespace lathe
