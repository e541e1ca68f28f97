#pragma once
// Lossless codecs of symbols. The one with the fewest bytes wins, ties go to the simpler.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace lathe::quant {

/// In files: values never change. Simpler ones have lower values.
enum class Codec : uint8_t {
  Raw = 1,      ///< a byte each, two when a symbol is wider than 8 bits
  Bitpack = 2,  ///< as many bits as its class is wide
  Ans = 3,      ///< range ANS, a frequency table for each class
};

std::string_view to_string(Codec codec);

/// Consecutive symbols below 2^width, 0 <= width <= 16. A stream's classes have increasing widths.
struct WidthClass {
  int width;
  int64_t count;
};

struct SymbolStream {
  Codec codec = Codec::Raw;
  std::vector<std::byte> table;
  std::vector<std::byte> payload;
};

/// The payload of `ans` and its table together take at most 1.01 times entropy_bits, 64 bytes, and 2 bytes
/// for every used symbol of a class.
SymbolStream encode_symbols(std::span<const uint16_t> symbols, std::span<const WidthClass> classes);

/// FormatError, beginning with `where`, when the codec is not known or the sizes cannot hold these classes.
/// To be called before memory for the symbols is allocated.
void check_stream(Codec codec, uint64_t table_bytes, uint64_t payload_bytes,
                  std::span<const WidthClass> classes, std::string_view where);
/// FormatError, beginning with `where`, for whatever encode_symbols cannot have written.
void decode_symbols(std::span<uint16_t> symbols, std::span<const WidthClass> classes, Codec codec,
                    std::span<const std::byte> table, std::span<const std::byte> payload,
                    std::string_view where);

/// -sum log2 p over all symbols, p being the share of a symbol in its class.
double entropy_bits(std::span<const uint16_t> symbols, std::span<const WidthClass> classes);

}  // namespace lathe::quant
