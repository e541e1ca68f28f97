#pragma once
// The packed model, FILE.lathe: a model's weights as they were evaluated, in few bytes. quant/FORMAT.md
// documents every byte.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/safetensors.h"
#include "core/tensor.h"
#include "core/value.h"
#include "quant/codes.h"

namespace lathe {

struct PackedTensor {
  std::string name;
  std::variant<Codes, Tensor> content;  ///< a Tensor is stored as it is
};

struct PackedModel {
  Value header = Value::object();  ///< any JSON object: model section, preprocessing, activation ranges
  std::vector<PackedTensor> tensors;
};

/// What a reader accepts beyond the format's own rules.
struct PackedLimits {
  /// Elements of all tensors together. Entropy coding stores a billion equal codes in no bytes: without a
  /// limit a small file could ask for any amount of memory.
  int64_t elements = int64_t{1} << 31;
};

/// Writes atomically. The same content gives the same bytes, whatever the order of keys in the header.
/// FormatError for codes that check_codes refuses, tensors off the host, names that are empty, twice there,
/// longer than 65535 bytes or not UTF-8, a header that is no object or that JSON cannot hold, and over 2^31
/// elements.
void write_packed(const std::filesystem::path& path, const PackedModel& model);
/// The file's content.
std::vector<std::byte> packed_bytes(const PackedModel& model);
/// Its size, without memory for the whole.
int64_t packed_size(const PackedModel& model);

/// FormatError, naming file, tensor, found and expected, for a file that is damaged or is not as
/// quant/FORMAT.md says: every count and size is checked against the file's size before memory is allocated.
/// IoError when it cannot be read.
PackedModel read_packed(const std::filesystem::path& path, const PackedLimits& limits = {});
/// The same of a file's content; `source` stands for the path in messages.
PackedModel parse_packed(std::span<const std::byte> bytes, std::string_view source,
                         const PackedLimits& limits = {});

/// A packed model's weights as numbers, in the file's order and under its names.
struct UnpackedModel {
  Value header = Value::object();
  std::vector<NamedTensor> tensors;
};
/// What decode() makes of read_packed's codes, without the memory for all of them: a thread holds one
/// tensor's at a time. Same errors as read_packed.
UnpackedModel read_unpacked(const std::filesystem::path& path, const PackedLimits& limits = {});
/// What a file says before any number is decoded: header, and names and shapes on Device::meta(). FormatError
/// and IoError as read_packed, but for what only decoding finds.
UnpackedModel read_packed_outline(const std::filesystem::path& path, const PackedLimits& limits = {});

/// Where a tensor's bytes are.
struct PackedTensorLayout {
  std::string name;
  std::string codec;  ///< of the codes: "raw", "bitpack", "ans"; "tensor" for one stored as it is
  int64_t elements = 0;
  int64_t record = 0;  ///< name, shape, sizes
  int64_t scales = 0, offsets = 0, widths = 0, table = 0, payload = 0;
  double entropy = 0;  ///< bytes: no code of single symbols, one table per width, has a smaller payload

  int64_t bytes() const { return record + scales + offsets + widths + table + payload; }
};

struct PackedLayout {
  int64_t fixed = 0;     ///< fixed header and checksums
  int64_t features = 0;  ///< names of required features
  int64_t json = 0;      ///< the header
  std::vector<PackedTensorLayout> tensors;

  int64_t bytes() const;  ///< the file's size
};

/// Reads the whole file: same errors as read_packed.
PackedLayout layout_packed(const std::filesystem::path& path, const PackedLimits& limits = {});
PackedLayout layout_packed(std::span<const std::byte> bytes, std::string_view source,
                           const PackedLimits& limits = {});

}  // namespace lathe
