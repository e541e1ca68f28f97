#include "tools/progress_line.h"

#include <algorithm>

namespace lathe::cli {
namespace {

constexpr size_t kCells = 12, kFewestCells = 4;  // of the bar

std::string bar(int64_t done, int64_t total, size_t cells) {
  const auto count = static_cast<int64_t>(cells);
  const int64_t filled = total > 0 ? done * count / total : 0;
  std::string text;
  for (int64_t i = 0; i < count; ++i) text += i < filled ? "━" : i == filled ? "╸" : " ";
  return text;
}

/// Bytes of the escape sequence "ESC [ ... letter" that `text` begins with; 0 when it begins with none.
size_t escape_length(std::string_view text) {
  if (!text.starts_with("\x1b[")) return 0;
  for (size_t i = 2; i < text.size(); ++i) {
    if (text[i] >= '@' && text[i] <= '~') return i + 1;
  }
  return text.size();
}

/// Bytes of the first code point.
size_t code_point_length(std::string_view text) {
  size_t length = 1;
  while (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) ++length;
  return length;
}

/// Calls fn(part, columns) for the code points and escape sequences of a text.
template <class Fn>
void for_parts(std::string_view text, const Fn& fn) {
  while (!text.empty()) {
    const size_t escape = escape_length(text);
    const size_t length = escape > 0 ? escape : code_point_length(text);
    fn(text.substr(0, length), escape > 0 ? 0 : 1);
    text.remove_prefix(length);
  }
}

}  // namespace

size_t columns_of(std::string_view text) {
  size_t columns = 0;
  for_parts(text, [&](std::string_view, size_t width) { columns += width; });
  return columns;
}

std::string cut(std::string_view text, size_t columns) {
  std::string out;
  size_t used = 0;
  for_parts(text, [&](std::string_view part, size_t width) {
    used += width;
    if (width == 0 || used <= columns) out += part;
  });
  return out;
}

std::string fit(const ProgressLine& line, size_t columns) {
  std::string fields;
  for (const std::string& field : line.fields) fields += fields.empty() ? field : "  " + field;
  const size_t beside_bar = columns_of(line.head) + columns_of(fields) + 2;
  const size_t cells = std::min(kCells, columns - std::min(columns, beside_bar));
  if (cells >= kFewestCells) return line.head + " " + bar(line.done, line.total, cells) + " " + fields;
  std::string text = line.head;
  for (const std::string& field : line.fields) {
    if (columns_of(text) + 2 + columns_of(field) > columns) break;
    text += "  " + field;
  }
  return cut(text, columns);
}

}  // namespace lathe::cli
