#pragma once
// Code points of a text.

#include <cstddef>
#include <string>
#include <string_view>

namespace lathe {

/// Length in bytes of the code point at `offset`; 0 where the text is not UTF-8 (RFC 3629) there.
size_t code_point_length(std::string_view text, size_t offset);
/// The code point at `offset`, of that length.
char32_t code_point(std::string_view text, size_t offset, size_t length);
/// Python's str.isspace, but for line feeds: what separates words within a line.
bool is_space(char32_t c);
/// "line 3, byte 120" of an offset.
std::string place_in_text(std::string_view text, size_t offset);

}  // namespace lathe
