#pragma once
// What writer and reader of packed models share; quant/FORMAT.md is the description.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/value.h"
#include "quant/pack/codec.h"

namespace lathe::quant {

constexpr std::array<uint8_t, 8> kMagic = {0x89, 'L', 'A', 'T', 'H', 'E', '\r', '\n'};
constexpr uint32_t kVersion = 1;
constexpr size_t kHeadBytes = 56;  // magic, version, count, four lengths, checksum
constexpr size_t kHashBytes = 8;
constexpr size_t kSections = 4;  // features, JSON, records, data; each is followed by its checksum
constexpr size_t kFixedBytes = kHeadBytes + kSections * kHashBytes;
constexpr size_t kLongestName = 65535;

enum class RecordKind : uint8_t { Tensor = 1, Codes = 2 };

constexpr uint8_t kPytorchOrder = 1, kBitsPerGroup = 2, kScalePerGroup = 4, kOffsetPerGroup = 8;

/// Element types, in files from 1: values never change.
constexpr std::array<DType, 5> kFileDTypes = {DType::F32, DType::F64, DType::I64, DType::I32, DType::U8};

/// Features a file may require, in order. Codecs beyond raw are features: a reader without them fails by
/// name.
constexpr std::array<std::string_view, 2> kFeatures = {"ans", "bitpack"};

/// The features that the codecs require, each name followed by a newline.
class FeatureList {
 public:
  void add(Codec codec) {
    if (codec == Codec::Ans) used_[0] = true;
    if (codec == Codec::Bitpack) used_[1] = true;
  }
  std::string text() const {
    std::string names;
    for (size_t i = 0; i < used_.size(); ++i) {
      if (used_[i]) names.append(kFeatures[i]).append("\n");
    }
    return names;
  }

 private:
  std::array<bool, kFeatures.size()> used_{};
};

/// The JSON text of a header: compact, keys sorted by their bytes. FormatError, beginning with `where`, when
/// it is no object or JSON cannot hold it.
std::string header_text(const Value& header, std::string_view where);
/// FormatError, beginning with `where`, unless header_text gives this text.
Value parse_header(std::string_view text, std::string_view where);

}  // namespace lathe::quant
