#pragma once
// Range ANS over four interleaved 64-bit states that give and take 32-bit words (Duda 2013, arXiv:1311.2540).

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "quant/pack/frequency_table.h"

namespace lathe::quant {

/// Consecutive symbols that share a table, which has them all.
struct RansRun {
  const FrequencyTable* table;
  int64_t count;
};

constexpr size_t kRansStates = 4;
constexpr size_t kRansLeastBytes = 8 * kRansStates;  ///< of a payload: the states

/// The states as the reader starts with them, then words in the order in which it takes them.
std::vector<std::byte> rans_encode(std::span<const uint16_t> symbols, std::span<const RansRun> runs);
/// FormatError, beginning with `where`, unless the payload holds exactly the symbols of the runs.
void rans_decode(std::span<uint16_t> symbols, std::span<const RansRun> runs,
                 std::span<const std::byte> payload, std::string_view where);

}  // namespace lathe::quant
