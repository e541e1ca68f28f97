#pragma once
// Packed models for tests: codes of every kind, and files in parts that can be damaged and sealed again.

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "core/hash.h"
#include "core/philox.h"
#include "quant/order.h"
#include "quant/pack/packed_model.h"

namespace lathe::tests {

struct CodesOptions {
  Decoder decoder = Decoder::Affine;
  Shape shape{4, 3, 3, 5};
  int bits = 4;
  int64_t group = 0;
  bool bits_per_group = false;  ///< widths 1 to `bits`
  bool pytorch_order = false;
};

/// Codes over their whole range, the small ones more often.
inline Codes make_codes(const CodesOptions& options, uint64_t seed = 1) {
  const Philox philox{.seed = seed, .stream = stream_id("codes")};
  Codes codes;
  codes.decoder = options.decoder;
  codes.group = options.group;
  codes.pytorch_order = options.pytorch_order;
  codes.integers = Tensor::zeros(options.shape, DType::I32);
  const int64_t numel = options.shape.numel(), groups = codes.groups();
  uint64_t word = 0;
  const auto floats = [&] {
    std::vector<float> values;
    for (int64_t g = 0; g < groups; ++g) {
      const float u = static_cast<float>(philox.uniform(word++));
      values.push_back(options.decoder == Decoder::ZeroPoint && codes.scale.defined()
                           ? static_cast<float>(static_cast<int>(u * 16))
                           : u + 0.25f);
    }
    return Tensor::from(values, {groups});
  };
  if (has_scale(options.decoder)) codes.scale = floats();
  if (has_offset(options.decoder)) codes.offset = floats();
  std::vector<uint8_t> bits(static_cast<size_t>(options.bits_per_group ? groups : 1),
                            static_cast<uint8_t>(options.bits));
  if (options.bits_per_group) {
    for (uint8_t& width : bits) {
      width = static_cast<uint8_t>(1 + static_cast<int>(philox.uniform(word++) * options.bits));
    }
  }
  codes.bits = Tensor::from(bits, {static_cast<int64_t>(bits.size())});
  const GroupOrder order(options.shape, options.pytorch_order);
  int32_t* q = codes.integers.mut<int32_t>();
  for (int64_t p = 0; p < numel; ++p) {
    const int width =
        bits[options.bits_per_group && options.group > 0 ? static_cast<size_t>(p / options.group) : 0];
    const int32_t count = 1 << width;
    const double u = philox.uniform(word++);
    q[order.index(p)] =
        lowest_code(options.decoder, width) + std::min(count - 1, static_cast<int32_t>(u * u * count));
  }
  return codes;
}

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// A file's parts as text; bytes() seals them with matching lengths and checksums.
struct FileParts {
  std::string head;         ///< magic, version, number of tensors
  std::string sections[4];  ///< features, JSON, records, data

  static FileParts of(std::span<const std::byte> file) {
    const auto text = [&](size_t at, size_t size) {
      return std::string(reinterpret_cast<const char*>(file.data()) + at, size);
    };
    FileParts parts;
    parts.head = text(0, 16);
    size_t at = 56;
    for (size_t i = 0; i < 4; ++i) {
      uint64_t length;
      std::memcpy(&length, file.data() + 16 + 8 * i, sizeof length);
      parts.sections[i] = text(at, static_cast<size_t>(length));
      at += static_cast<size_t>(length) + 8;
    }
    return parts;
  }

  std::vector<std::byte> bytes() const {
    std::string file = head;
    const auto number = [&](uint64_t value) { file.append(reinterpret_cast<const char*>(&value), 8); };
    for (const std::string& section : sections) number(section.size());
    number(hash_of(bytes_of(file)));
    for (const std::string& section : sections) {
      file += section;
      number(hash_of(bytes_of(section)));
    }
    const auto view = bytes_of(file);
    return {view.begin(), view.end()};
  }
};

/// Puts in the checksums that belong there, as far as the lengths make sense.
inline void reseal(std::span<std::byte> file) {
  const auto seal = [&](size_t at, size_t size) {
    const uint64_t hash = hash_of(std::span<const std::byte>(file).subspan(at, size));
    std::memcpy(file.data() + at + size, &hash, sizeof hash);
  };
  if (file.size() < 88) return;
  seal(0, 48);
  size_t at = 56;
  for (size_t i = 0; i < 4; ++i) {
    uint64_t length;
    std::memcpy(&length, file.data() + 16 + 8 * i, sizeof length);
    if (file.size() - at < 8 || length > file.size() - at - 8) return;
    seal(at, static_cast<size_t>(length));
    at += static_cast<size_t>(length) + 8;
  }
}

}  // namespace lathe::tests
