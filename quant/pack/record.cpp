#include "quant/pack/record.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "core/json.h"

namespace lathe::quant {
namespace {

class RecordReader {
 public:
  RecordReader(std::span<const std::byte> records, std::span<const std::byte> data, int64_t most_elements,
               std::string_view source)
      : in_(records, concat(source, ": records")),
        data_(data, concat(source, ": data")),
        left_(most_elements),
        source_(source) {}

  Record next() {
    const uint64_t before = in_.left();
    in_.set_where(concat(source_, ": records"));
    Record record;
    read_name(record);
    in_.set_where(concat(source_, ": tensor '", record.name, "'"));
    data_.set_where(in_.where());
    const uint8_t kind = in_.byte();
    LATHE_CHECK(FormatError, kind == 1 || kind == 2, where(), ": kind ", kind, " is not known");
    record.kind = static_cast<RecordKind>(kind);
    read_shape(record);
    if (record.kind == RecordKind::Tensor) {
      read_values(record);
    } else {
      read_codes(record);
    }
    record.record_bytes = before - in_.left();
    return record;
  }

  void finish() const {
    LATHE_CHECK(FormatError, in_.left() == 0, source_, ": records: ", in_.left(),
                " bytes are left after the last record");
    LATHE_CHECK(FormatError, data_.left() == 0, source_, ": data: the last ", data_.left(),
                " bytes belong to no tensor");
  }

 private:
  const std::string& where() const { return in_.where(); }

  void read_name(Record& record) {
    const std::span<const std::byte> bytes = in_.take(in_.varint("a name's length", kLongestName));
    record.name.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    LATHE_CHECK(FormatError, !record.name.empty(), where(), ": a tensor has no name");
    LATHE_CHECK(FormatError, is_utf8(record.name), where(), ": a tensor's name is not UTF-8");
    LATHE_CHECK(FormatError, names_.insert(record.name).second, where(), ": two tensors are named '",
                record.name, "'");
  }

  void read_shape(Record& record) {
    const int rank = in_.byte();
    LATHE_CHECK(FormatError, rank <= Shape::kMaxRank, where(), ": ", rank, " axes, at most ", Shape::kMaxRank,
                " are supported");
    std::vector<int64_t> dims;
    for (int i = 0; i < rank; ++i) dims.push_back(static_cast<int64_t>(in_.varint("an extent")));
    const bool empty = std::find(dims.begin(), dims.end(), 0) != dims.end();
    int64_t count = empty ? 0 : 1;
    bool overflow = false;
    for (const int64_t dim : dims)
      overflow = (!empty && __builtin_mul_overflow(count, dim, &count)) || overflow;
    LATHE_CHECK(FormatError, !overflow, where(), ": the product of its shape overflows");
    LATHE_CHECK(FormatError, count <= left_, where(), ": ", count,
                " elements are over the limit for all tensors together, which leaves ", left_);
    left_ -= count;
    record.shape = Shape(dims);
  }

  void read_values(Record& record) {
    const uint8_t type = in_.byte();
    LATHE_CHECK(FormatError, type >= 1 && type <= kFileDTypes.size(), where(), ": element type ", type,
                " is not known");
    record.dtype = kFileDTypes[type - 1u];
    record.values = data_.take(static_cast<uint64_t>(record.shape.numel()) * size_of(record.dtype));
  }

  void read_codes(Record& record) {
    const uint8_t decoder = in_.byte();
    LATHE_CHECK(FormatError, decoder >= 1 && decoder <= static_cast<uint8_t>(Decoder::Half), where(),
                ": decoder ", decoder, " is not known");
    record.decoder = static_cast<Decoder>(decoder);
    record.flags = in_.byte();
    const bool scaled = has_scale(record.decoder), shifted = has_offset(record.decoder);
    const int allowed =
        kPytorchOrder | kBitsPerGroup | (scaled ? kScalePerGroup : 0) | (shifted ? kOffsetPerGroup : 0);
    LATHE_CHECK(FormatError, (record.flags & ~allowed) == 0, where(), ": decoder ", record.decoder,
                " with flags ", record.flags, ", known are ", allowed);
    record.group = static_cast<int64_t>(in_.varint("the group length"));
    const int64_t numel = record.shape.numel(), group = record.group;
    record.groups = group == 0 ? 1 : numel / group + (numel % group != 0 ? 1 : 0);
    LATHE_CHECK(FormatError, record.groups != 1 || record.flags <= kPytorchOrder, where(), ": flags ",
                record.flags, " say one value for each group, but there is one group");
    if (scaled) record.scale = parameters(record, kScalePerGroup);
    if (shifted) record.offset = parameters(record, kOffsetPerGroup);
    if (record.has(kBitsPerGroup)) {
      read_widths(record);
    } else {
      record.bits = width(in_.byte(), record.decoder);
    }
    record.codes = read_stream();
  }

  std::span<const std::byte> parameters(const Record& record, uint8_t flag) {
    return data_.take(sizeof(float) * static_cast<uint64_t>(record.has(flag) ? record.groups : 1));
  }

  uint8_t width(uint8_t bits, Decoder decoder) const {
    const int least = decoder == Decoder::Half ? kMostBits : 1;
    LATHE_CHECK(FormatError, bits >= least && bits <= kMostBits, where(), ": bits: expected ", least, " to ",
                kMostBits, ", found ", bits);
    return bits;
  }

  void read_widths(Record& record) {
    record.least_bits = in_.byte();
    record.greatest_bits = in_.byte();
    if (record.groups > 0) {
      width(record.least_bits, record.decoder);
      width(record.greatest_bits, record.decoder);
    }
    LATHE_CHECK(FormatError, record.least_bits <= record.greatest_bits && record.greatest_bits <= kMostBits,
                where(), ": widths from ", record.least_bits, " to ", record.greatest_bits);
    record.widths = read_stream();
  }

  StreamRecord read_stream() {
    StreamRecord stream;
    stream.codec = static_cast<Codec>(in_.byte());
    const uint64_t table = in_.varint("a table's length"), payload = in_.varint("a payload's length");
    stream.table = data_.take(table);
    stream.payload = data_.take(payload);
    return stream;
  }

  ByteReader in_, data_;
  int64_t left_;  // elements that may still come
  std::string source_;
  std::set<std::string> names_;
};

}  // namespace

std::span<const std::byte> ByteReader::take(uint64_t count) {
  LATHE_CHECK(FormatError, count <= rest_.size(), where_, ": ", count, " bytes are needed, ", rest_.size(),
              " are left");
  const std::span<const std::byte> taken = rest_.first(static_cast<size_t>(count));
  rest_ = rest_.subspan(static_cast<size_t>(count));
  return taken;
}

uint32_t ByteReader::u32() {
  uint32_t value;
  std::memcpy(&value, take(sizeof value).data(), sizeof value);
  return value;
}

uint64_t ByteReader::u64() {
  uint64_t value;
  std::memcpy(&value, take(sizeof value).data(), sizeof value);
  return value;
}

uint64_t ByteReader::varint(std::string_view name, uint64_t most) {
  constexpr int kMostShift = 56;  // 9 bytes hold the 63 bits of any size
  uint64_t value = 0;
  for (int shift = 0; shift <= kMostShift; shift += 7) {
    const uint8_t next = byte();
    value |= static_cast<uint64_t>(next & 127) << shift;
    if (next >= 128) continue;
    LATHE_CHECK(FormatError, next != 0 || shift == 0, where_, ": ", name, " has more bytes than it needs");
    LATHE_CHECK(FormatError, value <= most, where_, ": ", name, ": ", value, " is over the limit of ", most);
    return value;
  }
  LATHE_THROW(FormatError, where_, ": ", name, " has more than 63 bits");
}

std::vector<Record> read_records(std::span<const std::byte> records, std::span<const std::byte> data,
                                 uint32_t count, int64_t most_elements, std::string_view source) {
  RecordReader reader(records, data, most_elements, source);
  std::vector<Record> list;
  for (uint32_t i = 0; i < count; ++i) list.push_back(reader.next());
  reader.finish();
  return list;
}

}  // namespace lathe::quant
