#pragma once
// How often each symbol occurs, as the entropy coder and its reader share it.

#include <cstdint>
#include <span>
#include <vector>

#include "quant/pack/bitstream.h"

namespace lathe::quant {

/// A level stands for the relative frequency 2^(level / 8): a step of 9 % costs less than 0.001 bits per
/// symbol. Frequencies follow from levels and precision by integer arithmetic (quant/FORMAT.md).
struct FrequencyTable {
  int precision = 0;                  ///< the frequencies add up to 2^precision; 0 when one symbol is used
  std::vector<uint16_t> symbols;      ///< used ones, increasing
  int coarse = 0;                     ///< 0 to 3: levels are multiples of 2^coarse
  std::vector<uint8_t> levels;        ///< of each used symbol
  std::vector<uint32_t> frequencies;  ///< of each used symbol, at least 1
};

/// For symbols 0, 1, ... that occur `counts` times, each at most 2^31, not all zero. The finest levels with
/// which the table takes at most 2 bytes for each used symbol, if these do for the payload; the least
/// precision that costs at most 0.1 % more than the best.
FrequencyTable make_table(std::span<const int64_t> counts);
/// Bits that a symbol stream of these counts takes under the table.
double coded_bits(const FrequencyTable& table, std::span<const int64_t> counts);

/// Symbols are below 2^width.
void write_table(BitWriter& out, const FrequencyTable& table, int width);
FrequencyTable read_table(BitReader& in, int width);

}  // namespace lathe::quant
