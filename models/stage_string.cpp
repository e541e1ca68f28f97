#include "models/stage_string.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <string_view>

#include "core/error.h"

namespace lathe {
namespace {

constexpr std::string_view kForm =
    "expected a kind, ds or ir, then any of r k s e c se with a number each, as in "
    "\"ir_r2_k3_s2_e6_c24_se0.25\"";

template <class... Parts>
[[noreturn]] void refuse(const std::string& text, const Parts&... parts) {
  LATHE_THROW(ConfigError, "stage \"", text, "\": ", parts...);
}

double number(const std::string& text, std::string_view piece, size_t begin) {
  double value = 0;
  const char* end = piece.data() + piece.size();
  const auto result = std::from_chars(piece.data() + begin, end, value, std::chars_format::fixed);
  if (result.ec != std::errc() || result.ptr != end)
    refuse(text, "\"", piece, "\" is no letter with a number; ", kForm);
  return value;
}

int64_t whole(const std::string& text, std::string_view piece, double value) {
  if (value < 1 || value > 65536 || value != std::floor(value))
    refuse(text, "\"", piece, "\" must be a whole number from 1 to 65536");
  return static_cast<int64_t>(value);
}

void read_piece(StageSpec& stage, const std::string& text, std::string_view piece, std::string_view key,
                double value) {
  if (key == "r") {
    stage.repeats = whole(text, piece, value);
  } else if (key == "k") {
    stage.kernel = whole(text, piece, value);
    if (stage.kernel % 2 == 0) refuse(text, "a kernel of ", stage.kernel, " has no centre; give an odd one");
  } else if (key == "s") {
    stage.stride = whole(text, piece, value);
  } else if (key == "c") {
    stage.channels = whole(text, piece, value);
  } else if (key == "e") {
    if (value <= 0) refuse(text, "\"", piece, "\" must be above 0");
    stage.expand = value;
  } else if (key == "se") {
    if (value < 0 || value > 1) refuse(text, "\"", piece, "\" must be from 0 to 1");
    stage.squeeze = value;
  } else {
    refuse(text, "\"", piece, "\" is not known; ", kForm);
  }
}

}  // namespace

StageSpec parse_stage(const std::string& text) {
  if (text.ends_with('_')) refuse(text, "nothing stands behind the last \"_\"; ", kForm);
  StageSpec stage;
  std::string_view rest = text;
  std::set<std::string_view> seen;
  for (bool first = true; first || !rest.empty(); first = false) {
    const std::string_view piece = rest.substr(0, rest.find('_'));
    rest.remove_prefix(std::min(rest.size(), piece.size() + 1));
    if (first) {
      if (piece != "ir" && piece != "ds") refuse(text, kForm);
      stage.inverted = piece == "ir";
      continue;
    }
    const size_t letters = std::min(piece.find_first_not_of("abcdefghijklmnopqrstuvwxyz"), piece.size());
    const std::string_view key = piece.substr(0, letters);
    if (!seen.insert(key).second) refuse(text, "\"", key, "\" is given twice");
    read_piece(stage, text, piece, key, number(text, piece, letters));
  }
  if (stage.channels == 0) refuse(text, "\"c\", its channels, is missing");
  if (!stage.inverted && stage.expand != 1) refuse(text, "a \"ds\" stage does not expand: leave \"e\" out");
  return stage;
}

int64_t scaled_channels(int64_t channels, double multiplier) {
  const double exact = static_cast<double>(channels) * multiplier;
  int64_t rounded = std::max<int64_t>(8, static_cast<int64_t>(exact + 4) / 8 * 8);
  if (static_cast<double>(rounded) < 0.9 * exact) rounded += 8;
  return rounded;
}

int64_t scaled_repeats(int64_t repeats, double multiplier) {
  return static_cast<int64_t>(std::ceil(static_cast<double>(repeats) * multiplier));
}

}  // namespace lathe
