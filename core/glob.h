#pragma once
#include <string_view>

namespace lathe {

/// True when the whole `text` matches `pattern`: '*' stands for any characters (dots too, none as well), '?'
/// for exactly one. Every other character stands for itself.
bool glob_match(std::string_view pattern, std::string_view text);

}  // namespace lathe
