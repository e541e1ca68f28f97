#include "quant/pack/bitstream.h"

#include <cstring>

#include "core/error.h"

namespace lathe::quant {

std::vector<std::byte> BitWriter::take() {
  if (filled_ > 0) bytes_.push_back(static_cast<std::byte>(pending_));
  pending_ = 0;
  filled_ = 0;
  return std::move(bytes_);
}

uint32_t BitReader::get(int width) {
  LATHE_CHECK(FormatError, static_cast<uint64_t>(width) <= bits_left(), where_, " ends too early");
  uint64_t value = 0;
  for (int have = 0; have < width;) {
    const int skip = static_cast<int>(at_ % 8), take = std::min(8 - skip, width - have);
    const uint64_t byte = std::to_integer<uint64_t>(bytes_[static_cast<size_t>(at_ / 8)]);
    value |= ((byte >> skip) & ((1u << take) - 1)) << have;
    have += take;
    at_ += static_cast<uint64_t>(take);
  }
  return static_cast<uint32_t>(value);
}

void BitReader::finish() {
  const uint64_t left = bits_left();
  LATHE_CHECK(FormatError, left < 8, where_, ": ", left / 8, " bytes at the end belong to nothing");
  LATHE_CHECK(FormatError, get(static_cast<int>(left)) == 0, where_, ": the bits after the end are not zero");
}

void unpack_bits(std::span<uint16_t> symbols, std::span<const std::byte> bytes, uint64_t first, int width) {
  const uint32_t mask = (1u << width) - 1;
  uint64_t bit = first;
  for (uint16_t& symbol : symbols) {
    const size_t byte = static_cast<size_t>(bit / 8);
    uint32_t word = 0;  // 16 bits from any bit of its first byte on
    if (byte + sizeof word <= bytes.size()) [[likely]] {
      std::memcpy(&word, bytes.data() + byte, sizeof word);
    } else if (byte < bytes.size()) {
      std::memcpy(&word, bytes.data() + byte, bytes.size() - byte);
    }
    symbol = static_cast<uint16_t>((word >> (bit % 8)) & mask);
    bit += static_cast<uint64_t>(width);
  }
}

}  // namespace lathe::quant
