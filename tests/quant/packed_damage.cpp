// Damaged and malformed packed models: always a FormatError, never a crash or a silent misread.

#include <functional>

#include <doctest/doctest.h>

#include "core/error.h"
#include "tests/quant/packed_files.h"

namespace lathe::tests {
namespace {

std::string error_of(std::span<const std::byte> file) {
  try {
    parse_packed(file, "f.lathe");
  } catch (const FormatError& error) {
    const std::string message = error.what(), source = "f.lathe: ";
    return message.starts_with(source) ? message.substr(source.size()) : "no source: " + message;
  }
  return "no error";
}

PackedModel small_model() {
  PackedModel model;
  model.header.set("model", Value::string("m"));
  model.tensors = {
      {"a",
       make_codes(
           {.decoder = Decoder::DeadZone, .shape = {5, 3}, .bits = 3, .group = 4, .bits_per_group = true})},
      {"b", Tensor::from(std::vector<float>{1, 2}, {2})},
      {"c", make_codes({.shape = {40, 40}, .bits = 2})},
  };
  return model;
}

std::string varint(uint64_t value) {
  std::string text;
  for (; value >= 128; value >>= 7) text += static_cast<char>(value | 128);
  return text + static_cast<char>(value);
}

std::string text(std::initializer_list<int> bytes) {
  std::string text;
  for (const int byte : bytes) text += static_cast<char>(byte);
  return text;
}

const std::string kA = text({1, 'a'});  // the name "a"

/// One tensor with this record and data, the header {}; features as given.
FileParts one(const std::string& record, const std::string& data, const std::string& features = "") {
  FileParts parts = FileParts::of(packed_bytes({}));
  parts.head[12] = 1;
  parts.sections[0] = features;
  parts.sections[2] = record;
  parts.sections[3] = data;
  return parts;
}

/// Record of affine codes in one group: (8), `bits` each.
std::string affine(int flags, int bits, const std::string& stream) {
  return kA + text({2, 1, 8, 1, flags, 0, bits}) + stream;
}

const std::string kScale = text({0, 0, 128, 63});  // 1.0f
const std::string kEight(8, '\1');
const std::string kTensor = kA + text({1, 1, 2, 1});  // f32 (2)
const std::string kHuge = varint(INT64_MAX);
const std::string kRaw8 = text({1, 0, 8});  // codec raw, no table, 8 bytes

FileParts changed(const std::function<void(FileParts&)>& change) {
  FileParts parts = FileParts::of(packed_bytes(small_model()));
  change(parts);
  return parts;
}

struct Row {
  FileParts parts;
  std::string message;
};

void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    const std::string message = error_of(row.parts.bytes());
    CAPTURE(row.message);
    CAPTURE(message);
    CHECK(message.starts_with(row.message));
  }
}

}  // namespace

TEST_SUITE_BEGIN("pack");

TEST_CASE("packed damage: every truncation and every trailing byte") {
  const std::vector<std::byte> file = packed_bytes(small_model());
  CHECK(error_of(file) == "no error");
  for (size_t size = 0; size < file.size(); ++size) {
    CHECK(error_of(std::span(file).first(size)) != "no error");
  }
  std::vector<std::byte> longer = file;
  longer.push_back(std::byte{0});
  CHECK(error_of(longer) == "the last 1 bytes belong to no section");
}

TEST_CASE("packed damage: every byte of a small file, in every bit and inverted") {
  std::vector<std::byte> file = packed_bytes(small_model());
  for (std::byte& byte : file) {
    const std::byte before = byte;
    for (const int mask : {1, 2, 4, 8, 16, 32, 64, 128, 255}) {
      byte = before ^ static_cast<std::byte>(mask);
      CHECK(error_of(file) != "no error");
    }
    byte = before;
  }
  CHECK(error_of(file) == "no error");
}

TEST_CASE("packed damage: random bits of a larger file") {
  PackedModel model = small_model();
  model.tensors.push_back({"d", make_codes({.shape = {64, 3, 3, 64}, .bits = 4, .group = 16})});
  std::vector<std::byte> file = packed_bytes(model);
  REQUIRE(file.size() > 10'000);
  const Philox philox{.seed = 3, .stream = stream_id("damage")};
  for (uint64_t i = 0; i < 2500; ++i) {
    std::byte& byte = file[philox.below(2 * i, static_cast<uint32_t>(file.size()))];
    const std::byte before = byte;
    byte ^= static_cast<std::byte>(1 << philox.below(2 * i + 1, 8));
    CHECK(error_of(file) != "no error");
    byte = before;
  }
}

TEST_CASE("packed damage: with checksums repaired nothing else happens than an error or a model") {
  const std::vector<std::byte> file = packed_bytes(small_model());
  int refused = 0;
  for (size_t i = 0; i < file.size(); ++i) {
    for (const int mask : {1, 128, 255}) {
      std::vector<std::byte> damaged = file;
      damaged[i] ^= static_cast<std::byte>(mask);
      reseal(damaged);
      refused += error_of(damaged) != "no error" ? 1 : 0;
    }
  }
  CHECK(refused > 0);
}

TEST_CASE("packed damage: malformed sections with fitting checksums") {
  check_rows({
      {changed([](FileParts& p) { p.head[0] = 'x'; }), "this is no packed model"},
      {changed([](FileParts& p) { p.head[8] = 2; }), "format version 2, this reader knows version 1"},
      {changed([](FileParts& p) { p.head[12] = 2; }), "records: "},
      {changed([](FileParts& p) { p.head[12] = 4; }), "records: 1 bytes are needed, 0 are left"},
      {changed([](FileParts& p) { p.sections[0] += "zstd\n"; }),
       "requires the feature \"zstd\", which this reader does"},
      {changed([](FileParts& p) { p.sections[0] += "\x1B[2J\xFF\n"; }),
       "requires the feature \"\\u001b[2J\xEF\xBF\xBD\", which this reader does"},
      {changed([](FileParts& p) { p.sections[0] += "x"; }),
       "the last required feature does not end with a newline"},
      {changed([](FileParts& p) { p.sections[0].clear(); }),
       "required features: expected 'ans bitpack ', found ''"},
      {changed([](FileParts& p) { p.sections[0] += "ans\n"; }), "required features: expected"},
      {changed([](FileParts& p) { p.sections[1] = std::string("[]"); }),
       "header: expected an object, found an array"},
      {changed([](FileParts& p) { p.sections[1] = std::string("{"); }),
       "header:1: expected a key in double quotes or '}'"},
      {changed([](FileParts& p) { p.sections[1] = std::string("{} "); }),
       "header: expected compact JSON with sorted keys"},
      {changed([](FileParts& p) { p.sections[1] = std::string(R"({"b":1,"a":1})"); }),
       "header: expected compact JSON with sorted keys"},
      {changed([](FileParts& p) { p.sections[1] = std::string(R"({"a":1,"a":1})"); }),
       "header:1: key 'a' appears twice"},
      {changed([](FileParts& p) { p.sections[2] += 'x'; }),
       "records: 1 bytes are left after the last record"},
      {changed([](FileParts& p) { p.sections[3] += 'x'; }), "data: the last 1 bytes belong to no tensor"},
      {changed([](FileParts& p) { p.sections[3].pop_back(); }), "tensor 'c': "},
  });
}

TEST_CASE("packed damage: malformed records with fitting checksums") {
  const std::string two31 = varint(uint64_t{1} << 31);
  check_rows({
      {one(kTensor, kEight), "no error"},
      {one(text({0}) + kTensor.substr(2), kEight), "records: a tensor has no name"},
      {one(text({1, 255}) + kTensor.substr(2), kEight), "records: a tensor's name is not UTF-8"},
      {one(text({129, 0, 'a'}) + kTensor.substr(2), kEight),
       "records: a name's length has more bytes than it needs"},
      {one(varint(65536) + "a", ""), "records: a name's length: 65536 is over the limit of 65535"},
      {one(text({9, 'a'}), ""), "records: 9 bytes are needed, 1 are left"},
      {one(kA + text({3, 0}), ""), "tensor 'a': kind 3 is not known"},
      {one(kA + text({1, 9}) + std::string(9, '\1') + text({1}), kScale),
       "tensor 'a': 9 axes, at most 8 are supported"},
      {one(kA + text({1, 1, 2, 6}), kEight), "tensor 'a': element type 6 is not known"},
      {one(kA + text({1, 1, 2, 0}), kEight), "tensor 'a': element type 0 is not known"},
      {one(kA + text({1, 1, 3, 1}), kEight), "tensor 'a': 12 bytes are needed, 8 are left"},
      {one(kA + text({1, 1, 1, 1}), kEight), "data: the last 4 bytes belong to no tensor"},
      {one(kA + text({1, 2}) + kHuge + kHuge + text({1}), kEight),
       "tensor 'a': the product of its shape overflows"},
      {one(kA + text({1, 1}) + kHuge + text({1}), kEight),
       "tensor 'a': 9223372036854775807 elements are over the limit"},
      {one(kA + text({1, 1}) + std::string(9, '\xFF') + text({1, 1}), kEight),
       "tensor 'a': an extent has more than 63 bits"},
      {one(kA + text({2, 2}) + two31 + text({2, 1, 0, 0, 1, 3, 0, 32}), kScale + std::string(32, '\0'),
           "ans\n"),
       "tensor 'a': 4294967296 elements are over the limit for all tensors together"},
  });
  FileParts twice = one(kTensor + kTensor, kEight + kEight);
  twice.head[12] = 2;
  CHECK(error_of(twice.bytes()) == "records: two tensors are named 'a'");
}

TEST_CASE("packed damage: malformed codes with fitting checksums") {
  check_rows({
      {one(affine(0, 3, kRaw8), kScale + kEight), "no error"},
      {one(kA + text({2, 1, 8, 0, 0, 0, 3}) + kRaw8, kScale + kEight), "tensor 'a': decoder 0 is not known"},
      {one(kA + text({2, 1, 8, 6, 0, 0, 3}) + kRaw8, kScale + kEight), "tensor 'a': decoder 6 is not known"},
      {one(affine(16, 3, kRaw8), kScale + kEight), "tensor 'a': decoder affine with flags 16, known are 7"},
      {one(affine(8, 3, kRaw8), kScale + kEight), "tensor 'a': decoder affine with flags 8, known are 7"},
      {one(affine(4, 3, kRaw8), kScale + kEight),
       "tensor 'a': flags 4 say one value for each group, but there is one"},
      {one(affine(0, 0, kRaw8), kScale + kEight), "tensor 'a': bits: expected 1 to 16, found 0"},
      {one(affine(0, 17, kRaw8), kScale + kEight), "tensor 'a': bits: expected 1 to 16, found 17"},
      {one(kA + text({2, 1, 8, 5, 0, 0, 15}) + text({1, 0, 16}), kEight + kEight),
       "tensor 'a': bits: expected 16 to 16, found 15"},
      {one(affine(0, 3, text({4, 0, 8})), kScale + kEight), "tensor 'a': codes: codec 4 is not known"},
      {one(affine(0, 3, text({1, 0, 7})), kScale + kEight.substr(1)),
       "tensor 'a': codes: codec raw takes 8 bytes, found 7"},
      {one(affine(0, 3, text({1, 1, 8})), kScale + kEight + "x"),
       "tensor 'a': codes: codec raw has no table, found one of 1"},
      {one(affine(0, 3, text({1}) + kHuge + text({8})), kScale + kEight),
       "tensor 'a': 9223372036854775807 bytes are needed"},
      {one(affine(0, 3, kRaw8), kScale + std::string(8, '\x08')),
       "tensor 'a': codes: symbol 8 does not fit in 3 bits"},
      {one(affine(0, 3, text({2, 0, 4})), kScale + "1234", "bitpack\n"),
       "tensor 'a': codes: codec bitpack takes 3 bytes, found 4"},
      {one(affine(0, 3, text({3, 0, 4})), kScale + "1234", "ans\n"),
       "tensor 'a': codes: expected 4 * n bytes, at least 32"},
      {one(affine(0, 3, text({3, 1, 32})), kScale + "\3" + std::string(32, '\0'), "ans\n"),
       "tensor 'a': codes: state 0 is out of range"},
      {one(affine(0, 3, text({3, 0, 32})), kScale + std::string(32, '\0'), "ans\n"),
       "tensor 'a': codes: the frequency table ends too early"},
      {one(kA + text({2, 1, 8, 4, 0, 0, 3}) + kRaw8, kScale + text({0, 0, 0, 63}) + kEight),
       "tensor 'a': offset: expected an integer, found 0.5"},
      {one(kA + text({2, 1, 8, 1, 2, 4, 2, 1}) + kRaw8 + kRaw8, kScale + kEight),
       "tensor 'a': widths from 2 to 1"},
      {one(kA + text({2, 1, 8, 1, 2, 4, 1, 3, 1, 0, 2}) + kRaw8, kScale + text({0, 3}) + kEight),
       "tensor 'a': widths: expected 1 to 3, found 4"},
      {one(kA + text({2, 1, 8, 1, 2, 4, 1, 4, 1, 0, 2}) + kRaw8,
           kScale + text({0, 3}) + std::string(8, '\0')),
       "no error"},
      {one(kA + text({2, 1, 8, 1, 2, 4, 2, 4, 1, 0, 2}) + kRaw8, kScale + text({0, 3}) + kEight),
       "tensor 'a': widths: expected 2 to 4, found 5"},
      {one(kA + text({2, 1, 8, 1, 4, 1, 3}) + kRaw8, kScale + kEight),
       "tensor 'a': 32 bytes are needed, 12 are left"},
  });
}

TEST_CASE("packed damage: lengths of sections with fitting checksums") {
  const std::vector<std::byte> file = packed_bytes(small_model());
  for (size_t i = 0; i < 4; ++i) {
    for (const uint64_t length :
         {uint64_t{0}, uint64_t{3}, uint64_t{1} << 40, ~uint64_t{0}, ~uint64_t{0} - 31}) {
      std::vector<std::byte> damaged = file;
      std::memcpy(damaged.data() + 16 + 8 * i, &length, sizeof length);
      reseal(damaged);
      CHECK(error_of(damaged) != "no error");
    }
  }
}

TEST_CASE("packed damage: a table may claim a billion zeros, up to the limit") {
  // One used symbol of 2^30 elements in 32 bytes of states.
  const std::string states = [] {
    std::string bytes;
    for (int i = 0; i < 4; ++i) bytes += text({0, 0, 0, 128, 0, 0, 0, 0});
    return bytes;
  }();
  const std::string record = kA + text({2, 1}) + varint(1 << 22) + text({1, 0, 0, 1, 3, 1, 32});
  const std::vector<std::byte> file = one(record, kScale + text({3}) + states, "ans\n").bytes();
  const PackedModel model = parse_packed(file, "f.lathe");
  CHECK(std::get<Codes>(model.tensors[0].content).integers.numel() == 1 << 22);
  CHECK_THROWS_AS(parse_packed(file, "f.lathe", {.elements = (1 << 22) - 1}), FormatError);
}

TEST_SUITE_END();

}  // namespace lathe::tests
