// The example of quant/FORMAT.md is what the writer writes.

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "tests/quant/packed_files.h"
#include "train/packing.h"

namespace lathe::tests {
namespace {

PackedModel example() {
  Codes codes;
  codes.integers = Tensor::from(std::vector<int32_t>{-4, -1, 0, 1, 2, 3}, {2, 3});
  codes.bits = Tensor::full({1}, 3, DType::U8);
  codes.scale = Tensor::full({1}, 0.5);
  PackedModel model;
  model.header.set("model", Value::string("tiny"));
  model.tensors = {{"w", codes}, {"b", Tensor::from(std::vector<float>{1, -2}, {2})}};
  return model;
}

/// "00000000  89 4c 41 ...  |.LA...|", 16 bytes a line.
std::string hex_dump(std::span<const std::byte> bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  const auto hex = [](size_t value, int digits) {
    std::string text;
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) text += kHex[value >> shift & 15];
    return text;
  };
  std::string dump;
  for (size_t at = 0; at < bytes.size(); at += 16) {
    std::string numbers, letters;
    for (size_t i = 0; i < 16; ++i) {
      if (at + i >= bytes.size()) {
        numbers += "   ";
        continue;
      }
      const auto byte = std::to_integer<unsigned char>(bytes[at + i]);
      numbers += concat(hex(byte, 2), " ");
      letters += byte >= 0x20 && byte < 0x7F ? static_cast<char>(byte) : '.';
    }
    dump += concat(hex(at, 4), "  ", numbers, " ", letters, "\n");
  }
  return dump;
}

}  // namespace

TEST_SUITE_BEGIN("pack");

TEST_CASE("packed format: the example of FORMAT.md") {
  const std::string text = read_text(std::string(LATHE_SOURCE_DIR) + "/quant/FORMAT.md");
  const size_t begin = text.rfind("```\n", text.rfind("```\n") - 1) + 4;
  const std::string documented = text.substr(begin, text.rfind("```\n") - begin);
  const std::string written = hex_dump(packed_bytes(example()));
  CHECK(documented == written);
}

TEST_CASE("packed format: every key of a header is in FORMAT.md") {
  const std::string text = read_text(std::string(LATHE_SOURCE_DIR) + "/quant/FORMAT.md");
  PackedHeader header;
  header.quant = parse_json(R"({"activations": [{"type": "lsq"}]})", "test");
  const Value written = to_value(header);
  CHECK(written.members().size() == 8);
  for (const auto& [key, value] : written.members())
    CHECK_MESSAGE(text.find(concat("`", key, "`")) != std::string::npos, key);
}

TEST_CASE("packed format: files of every codec keep their bytes") {
  PackedModel model;
  model.tensors = {{"ans", make_codes({.shape = {50, 3, 3, 20}, .bits = 5, .pytorch_order = true})},
                   {"bitpack", make_codes({.shape = {5, 7}, .bits = 3})},
                   {"raw", make_codes({.decoder = Decoder::Half, .shape = {9}, .bits = 16})},
                   {"widths", make_codes({.decoder = Decoder::DeadZone,
                                          .shape = {300, 40},
                                          .bits = 4,
                                          .group = 8,
                                          .bits_per_group = true})}};
  const std::vector<std::byte> bytes = packed_bytes(model);
  std::string codecs;
  for (const PackedTensorLayout& tensor : layout_packed(bytes, "test").tensors) codecs += tensor.codec + " ";
  CHECK(codecs == "ans bitpack raw ans ");
  Hash hash;
  hash.add(bytes);
  CHECK(hash.hex() == "a91f3bdccc71b3fb");
}

TEST_SUITE_END();

}  // namespace lathe::tests
