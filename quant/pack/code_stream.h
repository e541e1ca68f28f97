#pragma once
// Codes of a weight as the symbols that are stored: ordered by width, within a width by group.

#include <cstdint>
#include <span>
#include <vector>

#include "quant/codes.h"
#include "quant/pack/codec.h"

namespace lathe::quant {

/// The widths that occur, increasing, and how many codes have them. `bits` has one width for all groups or
/// one for each; `group` as in Codes.
std::vector<WidthClass> width_classes(std::span<const uint8_t> bits, int64_t numel, int64_t group);

/// code - lowest_code of every code.
std::vector<uint16_t> gather_symbols(const Codes& codes, std::span<const WidthClass> classes);
/// The reverse: writes codes.integers; what else codes hold is set.
void scatter_symbols(Codes& codes, std::span<const uint16_t> symbols, std::span<const WidthClass> classes);

/// Widths of groups as symbols of one class: what is above the least.
struct WidthSymbols {
  uint8_t least = 0, greatest = 0;
  std::vector<uint16_t> symbols;
};
WidthSymbols width_symbols(std::span<const uint8_t> bits);
WidthClass class_of_widths(uint8_t least, uint8_t greatest, int64_t groups);

}  // namespace lathe::quant
