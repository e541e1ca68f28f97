#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/files.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/parallel.h"
#include "quant/pack/code_stream.h"
#include "quant/pack/packed_model.h"
#include "quant/pack/record.h"

namespace lathe {
namespace {

using quant::ByteReader;
using quant::Record;
using quant::RecordKind;
using quant::StreamRecord;
using quant::WidthClass;

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The sections of a file, each with its checksum verified.
struct Sections {
  uint32_t tensors = 0;
  std::span<const std::byte> features, json, records, data;
};

std::span<const std::byte> take_section(ByteReader& in, uint64_t length, std::string_view name) {
  const std::span<const std::byte> bytes = in.take(length);
  const uint64_t stored = in.u64(), found = hash_of(bytes);
  LATHE_CHECK(FormatError, stored == found, in.where(), ": the ", name,
              " are damaged: their checksum is not the one in the file");
  return bytes;
}

Sections read_sections(std::span<const std::byte> file, std::string_view source) {
  ByteReader in(file, std::string(source));
  LATHE_CHECK(FormatError, file.size() >= quant::kFixedBytes, source, ": ", file.size(),
              " bytes are too few for a packed model");
  LATHE_CHECK(FormatError,
              std::ranges::equal(in.take(quant::kMagic.size()), std::as_bytes(std::span(quant::kMagic))),
              source, ": this is no packed model: its first bytes are others");
  const uint32_t version = in.u32();
  LATHE_CHECK(FormatError, version == quant::kVersion, source, ": format version ", version,
              ", this reader knows version ", quant::kVersion);
  Sections sections;
  sections.tensors = in.u32();
  uint64_t lengths[quant::kSections];
  for (uint64_t& length : lengths) length = in.u64();
  LATHE_CHECK(FormatError, in.u64() == hash_of(file.first(quant::kHeadBytes - quant::kHashBytes)), source,
              ": the first ", quant::kHeadBytes,
              " bytes are damaged: their checksum is not the one in the file");
  uint64_t left = file.size() - quant::kFixedBytes;
  for (const uint64_t length : lengths) {
    LATHE_CHECK(FormatError, length <= left, source, ": a section of ", length, " bytes where ", left,
                " are left");
    left -= length;
  }
  LATHE_CHECK(FormatError, left == 0, source, ": the last ", left, " bytes belong to no section");
  sections.features = take_section(in, lengths[0], "required features");
  sections.json = take_section(in, lengths[1], "header's bytes");
  sections.records = take_section(in, lengths[2], "records");
  sections.data = take_section(in, lengths[3], "data");
  return sections;
}

void check_features(std::string_view names, std::string_view source) {
  while (!names.empty()) {
    const size_t end = names.find('\n');
    LATHE_CHECK(FormatError, end != std::string_view::npos, source,
                ": the last required feature does not end with a newline");
    const std::string_view name = names.substr(0, end);
    LATHE_CHECK(FormatError, std::ranges::find(quant::kFeatures, name) != quant::kFeatures.end(), source,
                ": requires the feature ", to_json(Value::string(std::string(name))),
                ", which this reader does not know");
    names.remove_prefix(end + 1);
  }
}

/// Writers name exactly what they use, so that the same content has the same bytes.
void check_used_features(std::string_view names, const std::vector<Record>& records,
                         std::string_view source) {
  quant::FeatureList used;
  for (const Record& record : records) {
    if (record.kind != RecordKind::Codes) continue;
    used.add(record.codes.codec);
    if (record.has(quant::kBitsPerGroup)) used.add(record.widths.codec);
  }
  const std::string expected = used.text();
  const auto on_one_line = [](std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
  };
  LATHE_CHECK(FormatError, names == expected, source, ": required features: expected '",
              on_one_line(expected), "', found '", on_one_line(std::string(names)), "'");
}

Tensor f32_of(std::span<const std::byte> bytes) {
  Tensor tensor = Tensor::empty({static_cast<int64_t>(bytes.size() / sizeof(float))});
  if (!bytes.empty()) std::memcpy(tensor.raw_mut(), bytes.data(), bytes.size());
  return tensor;
}

Tensor bits_of(const Record& record, const std::string& where) {
  if (!record.has(quant::kBitsPerGroup)) return Tensor::full({1}, record.bits, DType::U8);
  const WidthClass one = quant::class_of_widths(record.least_bits, record.greatest_bits, record.groups);
  const StreamRecord& stream = record.widths;
  const std::string name = where + ": widths";
  quant::check_stream(stream.codec, stream.table.size(), stream.payload.size(), std::span(&one, 1), name);
  std::vector<uint16_t> symbols(static_cast<size_t>(record.groups));
  quant::decode_symbols(symbols, std::span(&one, 1), stream.codec, stream.table, stream.payload, name);
  Tensor bits = Tensor::empty({record.groups}, DType::U8);
  uint8_t* to = bits.mut<uint8_t>();
  for (const uint16_t symbol : symbols) {
    const int width = record.least_bits + symbol;
    LATHE_CHECK(FormatError, width <= record.greatest_bits, name, ": expected ", record.least_bits, " to ",
                record.greatest_bits, ", found ", width);
    *to++ = static_cast<uint8_t>(width);
  }
  return bits;
}

/// One tensor, and how many bytes the entropy of its codes is when that is asked for.
std::variant<Codes, Tensor> read_content(const Record& record, std::string_view source, double* entropy) {
  if (record.kind == RecordKind::Tensor) {
    Tensor tensor = Tensor::empty(record.shape, record.dtype);
    if (!record.values.empty()) std::memcpy(tensor.raw_mut(), record.values.data(), record.values.size());
    return tensor;
  }
  const std::string where = concat(source, ": tensor '", record.name, "'");
  Codes codes;
  codes.decoder = record.decoder;
  codes.group = record.group;
  codes.pytorch_order = record.has(quant::kPytorchOrder);
  if (has_scale(record.decoder)) codes.scale = f32_of(record.scale);
  if (has_offset(record.decoder)) codes.offset = f32_of(record.offset);
  codes.bits = bits_of(record, where);
  const auto classes = quant::width_classes(codes.bits.span<uint8_t>(), record.shape.numel(), record.group);
  const StreamRecord& stream = record.codes;
  const std::string name = where + ": codes";
  quant::check_stream(stream.codec, stream.table.size(), stream.payload.size(), classes, name);
  std::vector<uint16_t> symbols(static_cast<size_t>(record.shape.numel()));
  quant::decode_symbols(symbols, classes, stream.codec, stream.table, stream.payload, name);
  if (entropy != nullptr) *entropy = quant::entropy_bits(symbols, classes) / 8;
  codes.integers = Tensor::empty(record.shape, DType::I32);
  quant::scatter_symbols(codes, symbols, classes);
  check_codes(codes, where);
  return codes;
}

/// A file whose sections are whole, and where its tensors are.
struct OpenedFile {
  Sections sections;
  Value header;
  std::vector<Record> records;  // of each tensor
};

OpenedFile open_file(std::span<const std::byte> bytes, std::string_view source, const PackedLimits& limits) {
  OpenedFile file;
  file.sections = read_sections(bytes, source);
  check_features(text_of(file.sections.features), source);
  file.header = quant::parse_header(text_of(file.sections.json), concat(source, ": header"));
  file.records = quant::read_records(file.sections.records, file.sections.data, file.sections.tensors,
                                     limits.elements, source);
  return file;
}

/// Calls visit(i) for each tensor, side by side.
template <class Visit>
void for_each_tensor(const OpenedFile& file, std::string_view source, Visit&& visit) {
  parallel_for(static_cast<int64_t>(file.records.size()), 1,
               [&](int64_t lo, int64_t) { visit(static_cast<size_t>(lo)); });
  check_used_features(text_of(file.sections.features), file.records, source);
}

struct ParsedFile {
  PackedModel model;
  OpenedFile file;
};

/// `entropies`, when given, gets the bytes of each tensor's entropy.
ParsedFile parse(std::span<const std::byte> bytes, std::string_view source, const PackedLimits& limits,
                 std::vector<double>* entropies) {
  ParsedFile parsed;
  OpenedFile& file = parsed.file = open_file(bytes, source, limits);
  parsed.model.header = std::move(file.header);
  parsed.model.tensors.resize(file.records.size());
  if (entropies != nullptr) entropies->resize(file.records.size());
  for_each_tensor(file, source, [&](size_t i) {
    parsed.model.tensors[i] = {
        file.records[i].name,
        read_content(file.records[i], source, entropies != nullptr ? &(*entropies)[i] : nullptr)};
  });
  return parsed;
}

int64_t size_of_all(std::initializer_list<std::span<const std::byte>> parts) {
  int64_t bytes = 0;
  for (const auto part : parts) bytes += static_cast<int64_t>(part.size());
  return bytes;
}

PackedTensorLayout layout_of(const Record& record, double entropy) {
  PackedTensorLayout layout;
  layout.name = record.name;
  layout.elements = record.shape.numel();
  layout.record = static_cast<int64_t>(record.record_bytes);
  layout.entropy = entropy;
  const bool tensor = record.kind == RecordKind::Tensor;
  layout.codec = tensor ? "tensor" : std::string(to_string(record.codes.codec));
  layout.scales = size_of_all({record.scale});
  layout.offsets = size_of_all({record.offset});
  layout.widths = size_of_all({record.widths.table, record.widths.payload});
  layout.table = size_of_all({record.codes.table});
  layout.payload = size_of_all({record.codes.payload, record.values});
  return layout;
}

}  // namespace

PackedModel parse_packed(std::span<const std::byte> bytes, std::string_view source,
                         const PackedLimits& limits) {
  return parse(bytes, source, limits, nullptr).model;
}

PackedModel read_packed(const std::filesystem::path& path, const PackedLimits& limits) {
  return parse_packed(read_bytes(path), path.string(), limits);
}

UnpackedModel read_unpacked(const std::filesystem::path& path, const PackedLimits& limits) {
  const std::vector<std::byte> bytes = read_bytes(path);
  const std::string source = path.string();
  OpenedFile file = open_file(bytes, source, limits);
  UnpackedModel model{std::move(file.header), std::vector<NamedTensor>(file.records.size())};
  for_each_tensor(file, source, [&](size_t i) {
    const std::variant<Codes, Tensor> content = read_content(file.records[i], source, nullptr);
    const Codes* codes = std::get_if<Codes>(&content);
    model.tensors[i] = {file.records[i].name, codes != nullptr ? decode(*codes) : std::get<Tensor>(content)};
  });
  return model;
}

UnpackedModel read_packed_outline(const std::filesystem::path& path, const PackedLimits& limits) {
  const std::vector<std::byte> bytes = read_bytes(path);
  OpenedFile file = open_file(bytes, path.string(), limits);
  UnpackedModel outline{std::move(file.header), {}};
  for (const Record& record : file.records)
    outline.tensors.push_back({record.name, Tensor::empty(record.shape, record.dtype, Device::meta())});
  return outline;
}

int64_t PackedLayout::bytes() const {
  return std::accumulate(tensors.begin(), tensors.end(), fixed + features + json,
                         [](int64_t sum, const PackedTensorLayout& tensor) { return sum + tensor.bytes(); });
}

PackedLayout layout_packed(std::span<const std::byte> bytes, std::string_view source,
                           const PackedLimits& limits) {
  std::vector<double> entropies;
  const OpenedFile file = parse(bytes, source, limits, &entropies).file;
  PackedLayout layout;
  layout.fixed = static_cast<int64_t>(quant::kFixedBytes);
  layout.features = size_of_all({file.sections.features});
  layout.json = size_of_all({file.sections.json});
  for (size_t i = 0; i < file.records.size(); ++i) {
    layout.tensors.push_back(layout_of(file.records[i], entropies[i]));
  }
  return layout;
}

PackedLayout layout_packed(const std::filesystem::path& path, const PackedLimits& limits) {
  return layout_packed(read_bytes(path), path.string(), limits);
}

}  // namespace lathe
