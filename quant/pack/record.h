#pragma once
// The records of a packed model: what a file says about each tensor, checked before memory is allocated.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/shape.h"
#include "quant/codes.h"
#include "quant/pack/codec.h"
#include "quant/pack/format.h"

namespace lathe::quant {

/// Takes numbers from the front of bytes; FormatError, beginning with `where`, past their end.
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string where) : rest_(bytes), where_(std::move(where)) {}
  std::span<const std::byte> take(uint64_t count);
  uint8_t byte() { return std::to_integer<uint8_t>(take(1)[0]); }
  uint32_t u32();
  uint64_t u64();
  /// FormatError unless it has as few bytes as it can and is at most `most`.
  uint64_t varint(std::string_view name, uint64_t most = INT64_MAX);
  uint64_t left() const { return rest_.size(); }
  const std::string& where() const { return where_; }
  void set_where(std::string where) { where_ = std::move(where); }

 private:
  std::span<const std::byte> rest_;
  std::string where_;
};

/// A stored symbol stream.
struct StreamRecord {
  Codec codec = Codec::Raw;
  std::span<const std::byte> table, payload;
};

struct Record {
  std::string name;
  RecordKind kind = RecordKind::Tensor;
  Shape shape;
  DType dtype = DType::F32;           // of a Tensor; the rest is of Codes
  std::span<const std::byte> values;  // of a Tensor
  Decoder decoder = Decoder::Affine;
  uint8_t flags = 0;
  int64_t group = 0, groups = 0;
  uint8_t bits = 0;  // unless per group
  uint8_t least_bits = 0, greatest_bits = 0;
  StreamRecord widths, codes;
  std::span<const std::byte> scale, offset;
  uint64_t record_bytes = 0;

  bool has(uint8_t flag) const { return (flags & flag) != 0; }
};

/// Reads `count` records and deals out the data to them; FormatError, beginning with `source`.
std::vector<Record> read_records(std::span<const std::byte> records, std::span<const std::byte> data,
                                 uint32_t count, int64_t most_elements, std::string_view source);

}  // namespace lathe::quant
