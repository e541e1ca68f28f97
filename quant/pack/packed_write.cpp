#include <algorithm>
#include <cstring>
#include <set>

#include "core/files.h"
#include "core/hash.h"
#include "core/json.h"
#include "quant/pack/code_stream.h"
#include "quant/pack/format.h"
#include "quant/pack/packed_model.h"

namespace lathe {
namespace {

using quant::Codec;
using quant::SymbolStream;

class ByteWriter {
 public:
  /// `keep` false: counts bytes only.
  explicit ByteWriter(bool keep = true) : keep_(keep) {}
  void reserve(size_t bytes) { bytes_.reserve(bytes); }
  template <class T>
  void number(T value) {
    append(std::as_bytes(std::span(&value, 1)));
  }
  /// 7 bits a byte, low ones first; all bytes but the last have their high bit set.
  void varint(uint64_t value) {
    for (; value >= 128; value >>= 7) number(static_cast<uint8_t>(value | 128));
    number(static_cast<uint8_t>(value));
  }
  void append(std::span<const std::byte> bytes) {
    size_ += bytes.size();
    if (keep_) bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void text(std::string_view text) { append(std::as_bytes(std::span(text.data(), text.size()))); }
  void tensor(const Tensor& tensor) {
    if (tensor.numel() > 0) append({tensor.raw(), tensor.bytes()});
  }
  /// A section and its checksum.
  void section(std::span<const std::byte> bytes) {
    append(bytes);
    number(hash_of(bytes));
  }
  std::span<const std::byte> bytes() const { return bytes_; }
  std::vector<std::byte> take() { return std::move(bytes_); }
  size_t size() const { return size_; }

 private:
  bool keep_;
  size_t size_ = 0;
  std::vector<std::byte> bytes_;
};

/// Collects the parts of a file.
class Packer {
 public:
  /// `keep` false: for size() alone.
  explicit Packer(bool keep) : data_(keep) {}

  void add(const PackedTensor& tensor) {
    LATHE_CHECK(FormatError, !tensor.name.empty() && tensor.name.size() <= quant::kLongestName,
                "packed model: a tensor's name has 1 to ", quant::kLongestName, " bytes, found ",
                tensor.name.size());
    LATHE_CHECK(FormatError, is_utf8(tensor.name), "packed model: the name '", tensor.name, "' is not UTF-8");
    LATHE_CHECK(FormatError, names_.insert(tensor.name).second, "packed model: two tensors are named '",
                tensor.name, "'");
    where_ = concat("packed model: tensor '", tensor.name, "'");
    records_.varint(tensor.name.size());
    records_.text(tensor.name);
    std::visit([this](const auto& part) { content(part); }, tensor.content);
  }

  std::vector<std::byte> file(const Value& header) {
    const std::string json = quant::header_text(header, "packed model: header");
    const std::string features = features_.text();
    ByteWriter file;
    file.reserve(json.size() + records_.bytes().size() + data_.bytes().size() + 4096);
    for (const uint8_t byte : quant::kMagic) file.number(byte);
    file.number(quant::kVersion);
    file.number(static_cast<uint32_t>(names_.size()));
    for (const uint64_t length :
         {features.size(), json.size(), records_.bytes().size(), data_.bytes().size()}) {
      file.number(length);
    }
    file.number(hash_of(file.bytes()));
    file.section(std::as_bytes(std::span(features)));
    file.section(std::as_bytes(std::span(json)));
    file.section(records_.bytes());
    file.section(data_.bytes());
    return file.take();
  }

  /// Of file(header), where the data were not kept.
  size_t size(const Value& header) { return file(header).size() + data_.size(); }

 private:
  void shape(quant::RecordKind kind, const Shape& shape) {
    elements_ += std::min(shape.numel(), PackedLimits{}.elements + 1);
    LATHE_CHECK(FormatError, elements_ <= PackedLimits{}.elements, where_, ": more than ",
                PackedLimits{}.elements, " elements in one model");
    records_.number(static_cast<uint8_t>(kind));
    records_.number(static_cast<uint8_t>(shape.rank()));
    for (const int64_t dim : shape) records_.varint(static_cast<uint64_t>(dim));
  }

  void content(const Tensor& tensor) {
    LATHE_CHECK(FormatError, tensor.defined(), where_, ": the tensor is undefined");
    LATHE_CHECK(FormatError, tensor.device() == Device::cpu(), where_, ": it is on ", tensor.device(),
                ", only host tensors are written");
    shape(quant::RecordKind::Tensor, tensor.shape());
    const auto type = std::find(quant::kFileDTypes.begin(), quant::kFileDTypes.end(), tensor.dtype());
    records_.number(static_cast<uint8_t>(type - quant::kFileDTypes.begin() + 1));
    data_.tensor(tensor);
  }

  void content(const Codes& codes) {
    check_codes(codes, where_);
    shape(quant::RecordKind::Codes, codes.shape());
    const auto per_group = [](const Tensor& tensor) { return tensor.defined() && tensor.numel() != 1; };
    const bool widths = per_group(codes.bits);
    records_.number(static_cast<uint8_t>(codes.decoder));
    records_.number(static_cast<uint8_t>((codes.pytorch_order ? quant::kPytorchOrder : 0) |
                                         (widths ? quant::kBitsPerGroup : 0) |
                                         (per_group(codes.scale) ? quant::kScalePerGroup : 0) |
                                         (per_group(codes.offset) ? quant::kOffsetPerGroup : 0)));
    records_.varint(static_cast<uint64_t>(codes.group));
    if (codes.scale.defined()) data_.tensor(codes.scale);
    if (codes.offset.defined()) data_.tensor(codes.offset);
    const std::span<const uint8_t> bits = codes.bits.span<uint8_t>();
    if (widths) {
      group_widths(bits);
    } else {
      records_.number(bits[0]);
    }
    const auto classes = quant::width_classes(bits, codes.integers.numel(), codes.group);
    stream(quant::encode_symbols(quant::gather_symbols(codes, classes), classes));
  }

  void group_widths(std::span<const uint8_t> bits) {
    const quant::WidthSymbols widths = quant::width_symbols(bits);
    const quant::WidthClass one =
        quant::class_of_widths(widths.least, widths.greatest, static_cast<int64_t>(bits.size()));
    records_.number(widths.least);
    records_.number(widths.greatest);
    stream(quant::encode_symbols(widths.symbols, std::span(&one, 1)));
  }

  void stream(const SymbolStream& stream) {
    features_.add(stream.codec);
    records_.number(static_cast<uint8_t>(stream.codec));
    records_.varint(stream.table.size());
    records_.varint(stream.payload.size());
    data_.append(stream.table);
    data_.append(stream.payload);
  }

  std::set<std::string> names_;
  std::string where_;
  int64_t elements_ = 0;
  quant::FeatureList features_;
  ByteWriter records_, data_;
};

}  // namespace

std::vector<std::byte> packed_bytes(const PackedModel& model) {
  Packer packer(true);
  for (const PackedTensor& tensor : model.tensors) packer.add(tensor);
  return packer.file(model.header);
}

int64_t packed_size(const PackedModel& model) {
  Packer packer(false);
  for (const PackedTensor& tensor : model.tensors) packer.add(tensor);
  return static_cast<int64_t>(packer.size(model.header));
}

void write_packed(const std::filesystem::path& path, const PackedModel& model) {
  write_atomic(path, std::span<const std::byte>(packed_bytes(model)));
}

}  // namespace lathe
