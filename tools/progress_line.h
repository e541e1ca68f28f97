#pragma once
// A line that fits a terminal.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lathe::cli {

/// "HEAD ━━━━╸   FIELD  FIELD ..."
struct ProgressLine {
  std::string head;
  int64_t done = 0, total = 0;      ///< of the bar
  std::vector<std::string> fields;  ///< the most important first
};

/// At most `columns` columns: the bar gives way first, it shrinks and goes; then fields go from the last on;
/// then the head is cut.
std::string fit(const ProgressLine& line, size_t columns);

/// Columns of a text in UTF-8: its code points without escape sequences.
size_t columns_of(std::string_view text);
/// The first `columns` columns of it; escape sequences stay, also those behind the cut.
std::string cut(std::string_view text, size_t columns);

}  // namespace lathe::cli
