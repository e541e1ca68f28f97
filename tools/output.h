#pragma once
// Results on stdout: text for people, JSON for programs.

#include <string>
#include <string_view>
#include <vector>

#include "core/value.h"

namespace lathe::cli {

/// One line of compact JSON.
void print_json(const Value& value);

/// Rows of cells in aligned columns; numbers (cells that start with a digit, sign or point) to the right.
void print_table(const std::vector<std::vector<std::string>>& rows);

/// Whether a metric is a share, shown in percent: top-1 and its like.
bool is_fraction(std::string_view metric);
/// "91.73 %" of a share, else with so many digits behind the point.
std::string format_metric(std::string_view metric, double value, int digits = 4);

/// "71.2 kB": kB is 1,000 bytes.
std::string human_bytes(double bytes);
/// "1,048,576"
std::string grouped(int64_t n);
/// "2:31", "1:02:31"
std::string human_time(double seconds);

}  // namespace lathe::cli
