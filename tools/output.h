#pragma once
// Results on stdout: text for people, JSON for programs.

#include <string>
#include <vector>

#include "core/value.h"

namespace lathe::cli {

/// One line of compact JSON.
void print_json(const Value& value);

/// Rows of cells in aligned columns; numbers (cells that start with a digit, sign or point) to the right.
void print_table(const std::vector<std::vector<std::string>>& rows);

/// "71.2 kB": kB is 1,000 bytes.
std::string human_bytes(double bytes);
/// "1,048,576"
std::string grouped(int64_t n);
/// "2:31", "1:02:31"
std::string human_time(double seconds);

}  // namespace lathe::cli
