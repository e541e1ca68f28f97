#include "data/picture_check.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <string>

#include <zlib.h>

#include "core/error.h"

namespace lathe {
namespace {

constexpr int64_t kMostPixels = int64_t{1} << 27;
constexpr const char* kExpected = ": expected a PNG or JPEG picture: ";
constexpr std::array<unsigned char, 8> kPngSignature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

// A file's bytes from the front.
class Reader {
 public:
  Reader(std::span<const std::byte> bytes, std::string_view source) : bytes_(bytes), source_(source) {}

  size_t offset() const { return offset_; }
  void require(size_t count, const char* what) const {
    LATHE_CHECK(DataError, count <= bytes_.size() - offset_, source_, kExpected, what, " at offset ", offset_,
                " has ", bytes_.size() - offset_, " of its ", count, " bytes: the file ends early");
  }
  uint8_t byte() { return std::to_integer<uint8_t>(bytes_[offset_++]); }
  uint32_t big_endian(int count) {
    uint32_t value = 0;
    while (count-- > 0) value = value << 8 | byte();
    return value;
  }
  const unsigned char* at() const { return reinterpret_cast<const unsigned char*>(bytes_.data()) + offset_; }
  void skip(size_t count) { offset_ += count; }
  void back(size_t count) { offset_ -= count; }
  /// To the next byte 0xff, or to the end of the file.
  bool find_ff() {
    const void* found = std::memchr(at(), 0xff, bytes_.size() - offset_);
    offset_ = found == nullptr ? bytes_.size()
                               : static_cast<size_t>(static_cast<const std::byte*>(found) - bytes_.data());
    return found != nullptr;
  }
  size_t left() const { return bytes_.size() - offset_; }

 private:
  std::span<const std::byte> bytes_;
  std::string_view source_;
  size_t offset_ = 0;
};

PictureSize check_size(int64_t height, int64_t width, std::string_view source) {
  LATHE_CHECK(DataError, height > 0 && width > 0, source, ": a picture of ", height, " x ", width, " pixels");
  LATHE_CHECK(DataError, height <= kMostPixels / width, source, ": a picture of ", height, " x ", width,
              " pixels, expected at most ", kMostPixels);
  return {height, width};
}

PictureSize check_png(Reader& reader, std::string_view source) {
  reader.skip(kPngSignature.size());
  PictureSize size;
  for (bool first = true;; first = false) {
    reader.require(8, "a PNG chunk's head");
    const size_t at = reader.offset();
    const uint32_t length = reader.big_endian(4);
    const std::string type(reinterpret_cast<const char*>(reader.at()), 4);
    reader.back(4);
    reader.require(size_t{12} + length, "a PNG chunk");
    reader.skip(4);
    const uLong sum = crc32(crc32(0, nullptr, 0), reader.at(), 4 + static_cast<uInt>(length));
    reader.skip(4);
    LATHE_CHECK(DataError, !first || (type == "IHDR" && length == 13), source, kExpected,
                "no chunk IHDR of 13 bytes at offset ", at);
    if (first) {
      const int64_t width = reader.big_endian(4), height = reader.big_endian(4);
      size = check_size(height, width, source);
      reader.back(8);
    }
    reader.skip(length);
    const uint32_t stored = reader.big_endian(4);
    LATHE_CHECK(DataError, stored == sum, source, kExpected, "PNG chunk '", type, "' at offset ", at,
                " has another checksum");
    if (type == "IEND") return size;
  }
}

bool is_frame(uint8_t marker) {
  return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

bool stands_alone(uint8_t marker) {
  return marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8);
}

// A segment's Huffman tables, `length` bytes: stb takes their counts on trust.
void check_huffman(Reader reader, size_t length, std::string_view source) {
  constexpr size_t kHead = 17, kMostValues = 256;
  while (length > 0) {
    const size_t at = reader.offset();
    size_t values = 0;
    const bool has_head = length >= kHead;
    if (has_head) {
      reader.skip(1);
      for (size_t i = 1; i < kHead; ++i) values += reader.byte();
    }
    LATHE_CHECK(DataError, has_head && values <= kMostValues && kHead + values <= length, source, kExpected,
                "a JPEG Huffman table of ", values, " values at offset ", at);
    reader.skip(values);
    length -= kHead + values;
  }
}

// Moves behind a scan's data, to the marker that ends it.
void pass_scan(Reader& reader, std::string_view source) {
  for (;;) {
    const bool found = reader.find_ff() && reader.left() >= 2;
    LATHE_CHECK(DataError, found, source, kExpected, "the JPEG file ends early, at offset ",
                reader.offset() + reader.left(), ", inside a scan");
    const uint8_t next = reader.at()[1];
    if (next != 0x00 && next != 0xff && !stands_alone(next)) return;
    reader.skip(next == 0xff ? 1 : 2);
  }
}

PictureSize check_jpeg(Reader& reader, std::string_view source) {
  reader.skip(2);
  PictureSize size;
  for (;;) {
    reader.require(2, "a JPEG marker");
    const size_t at = reader.offset();
    LATHE_CHECK(DataError, reader.byte() == 0xff, source, kExpected, "expected a JPEG marker at offset ", at);
    uint8_t marker = reader.byte();
    while (marker == 0xff) {  // padding
      reader.require(1, "a JPEG marker");
      marker = reader.byte();
    }
    if (marker == 0xd9) {
      LATHE_CHECK(DataError, size.width > 0, source, kExpected, "a JPEG file without a frame");
      return size;
    }
    if (stands_alone(marker)) continue;
    reader.require(2, "a JPEG segment");
    const uint32_t length = reader.big_endian(2);
    LATHE_CHECK(DataError, length >= 2, source, kExpected, "a JPEG segment of ", length, " bytes at offset ",
                at);
    reader.require(length - 2, "a JPEG segment");
    if (marker == 0xc4) check_huffman(reader, length - 2, source);
    if (is_frame(marker) && length >= 7) {
      reader.skip(1);
      const int64_t height = reader.big_endian(2), width = reader.big_endian(2);
      size = check_size(height, width, source);
      reader.back(5);
    }
    reader.skip(length - 2);
    if (marker == 0xda) pass_scan(reader, source);
  }
}

}  // namespace

PictureSize check_picture(std::span<const std::byte> bytes, std::string_view source) {
  LATHE_CHECK(DataError, !bytes.empty(), source, kExpected, "the file is empty");
  const auto* first = reinterpret_cast<const unsigned char*>(bytes.data());
  Reader reader(bytes, source);
  if (bytes.size() >= 8 && std::equal(kPngSignature.begin(), kPngSignature.end(), first)) {
    return check_png(reader, source);
  }
  if (bytes.size() >= 2 && first[0] == 0xff && first[1] == 0xd8) return check_jpeg(reader, source);
  LATHE_THROW(DataError, source, kExpected, "the file begins otherwise");
}

}  // namespace lathe
