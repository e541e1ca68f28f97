#pragma once
// Little-endian streams of bits: the first bit of a stream is the least significant one of its first byte.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace lathe::quant {

class BitWriter {
 public:
  /// The low `width` bits of value, 0 <= width <= 32; the bits above are zero.
  void put(uint64_t value, int width) {
    pending_ |= value << filled_;
    filled_ += width;
    while (filled_ >= 8) {
      bytes_.push_back(static_cast<std::byte>(pending_));
      pending_ >>= 8;
      filled_ -= 8;
    }
  }
  /// The stream so far; the last byte is filled with zeros.
  std::vector<std::byte> take();

 private:
  std::vector<std::byte> bytes_;
  uint64_t pending_ = 0;
  int filled_ = 0;  // bits of pending_, below 8 between calls
};

/// Never reads past the end: FormatError, beginning with `where`.
class BitReader {
 public:
  BitReader(std::span<const std::byte> bytes, std::string_view where) : bytes_(bytes), where_(where) {}
  /// 0 <= width <= 32.
  uint32_t get(int width);
  uint64_t bits_left() const { return 8 * static_cast<uint64_t>(bytes_.size()) - at_; }
  /// FormatError unless what is left are less than 8 zeros.
  void finish();
  std::string_view where() const { return where_; }

 private:
  std::span<const std::byte> bytes_;
  std::string_view where_;
  uint64_t at_ = 0;  // bit
};

/// Reads symbols of `width` bits (0 to 16) from bit `first` on. The stream holds them all.
void unpack_bits(std::span<uint16_t> symbols, std::span<const std::byte> bytes, uint64_t first, int width);

}  // namespace lathe::quant
