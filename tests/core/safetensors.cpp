#include "core/safetensors.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "tests/support/scratch.h"

using lathe::DType;
using lathe::NamedTensor;
using lathe::Shape;
using lathe::Tensor;
using lathe::tests::ScratchFolder;

namespace {

std::string with_length(uint64_t length, const std::string& rest) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + rest;
}

/// A file of a header and `data_bytes` bytes 0, 1, 2, ...
std::string file_of(const std::string& header, size_t data_bytes) {
  std::string data;
  for (size_t i = 0; i < data_bytes; ++i) data += static_cast<char>(i);
  return with_length(header.size(), header + data);
}

/// One F32 tensor 'a' of two elements, with `entry` in place of its shape and offsets.
std::string one(const std::string& entry, size_t data_bytes = 8) {
  return file_of("{\"a\":{\"dtype\":\"F32\"," + entry + "}}", data_bytes);
}

std::string error_of(const std::string& bytes) {
  const ScratchFolder scratch;
  lathe::write_atomic(scratch / "f.safetensors", bytes);
  try {
    lathe::read_safetensors(scratch / "f.safetensors");
  } catch (const lathe::FormatError& error) {
    const std::string message = error.what();
    const std::string path = (scratch / "f.safetensors").string() + ": ";
    return message.compare(0, path.size(), path) == 0 ? message.substr(path.size()) : "no path: " + message;
  }
  return "no error";
}

}  // namespace

TEST_SUITE_BEGIN("core");

TEST_CASE("safetensors: malformed files") {
  struct Row {
    std::string bytes;
    std::string message;
  };
  const std::string fine = "\"shape\":[2],\"data_offsets\":[0,8]";
  const std::string pair_head = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":";
  const Row rows[] = {
      {one(fine), "no error"},
      {"", "0 bytes are too few for a safetensors file"},
      {"1234567", "7 bytes are too few for a safetensors file"},
      {with_length(1'000'000'000, "{}"), "a header of 1000000000 bytes is over the limit of 100000000"},
      {with_length(~uint64_t{0}, "{}"), "a header of 18446744073709551615 bytes is over the limit"},
      {with_length(3, "{}"), "a header of 3 bytes does not fit into a file of 10"},
      {with_length(0, ""), "the header does not start with '{'"},
      {file_of(" {}", 0), "the header does not start with '{'"},
      {file_of("[]", 0), "the header does not start with '{'"},
      {file_of("{\"a\":", 0), "header:1: expected a value, found the end of the text"},
      {file_of("{} {}", 0), "header:1: expected the end of the text, found '{'"},
      {file_of("{\"\xFF\":1}", 0), "header:1: invalid string: ill-formed UTF-8 byte"},
      {file_of("{\"a\":{\"dtype\":\"F32\"," + fine + "},\"a\":{\"dtype\":\"F32\"," + fine + "}}", 8),
       "header:1: key 'a' appears twice, first on line 1"},
      {file_of("{\"a\":[[[[[[1]]]]]]}", 0), "header:1: nested deeper than 4 levels"},
      {file_of("{\"a\":3}", 0), "tensor 'a': expected an object, found an integer"},
      {one("\"shape\":[2]"), "tensor 'a': 'data_offsets' is missing"},
      {file_of("{\"a\":{" + fine + "}}", 8), "tensor 'a': 'dtype' is missing"},
      {one(fine + ",\"strides\":[1]"), "tensor 'a': unknown key 'strides'"},
      {file_of("{\"a\":{\"dtype\":\"F8_E4M3\"," + fine + "}}", 8),
       "tensor 'a': dtype 'F8_E4M3' is not supported"},
      {file_of("{\"a\":{\"dtype\":\"f32\"," + fine + "}}", 8), "tensor 'a': dtype 'f32' is not supported"},
      {file_of("{\"a\":{\"dtype\":4," + fine + "}}", 8),
       "tensor 'a': dtype: expected a string, found an integer"},
      {one("\"shape\":2,\"data_offsets\":[0,8]"), "tensor 'a': shape: expected an array, found an integer"},
      {one("\"shape\":[2.0],\"data_offsets\":[0,8]"),
       "tensor 'a': shape: expected integers, found a real number"},
      {one("\"shape\":[-2],\"data_offsets\":[0,8]"), "tensor 'a': shape: -2 is negative"},
      {one("\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]"),
       "tensor 'a': 9 axes, at most 8 are supported"},
      {one("\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]"),
       "tensor 'a': the product of its shape overflows"},
      {one("\"shape\":[4611686018427387906],\"data_offsets\":[0,8]"),  // times 4 is 8 modulo 2^64
       "tensor 'a': the product of its shape overflows"},
      {one("\"shape\":[9223372036854775808],\"data_offsets\":[0,8]"),
       "tensor 'a': shape: expected integers, found a real number"},
      {one("\"shape\":[3],\"data_offsets\":[0,8]"),
       "tensor 'a': its shape takes 12 bytes, its data_offsets span 8"},
      {one("\"shape\":[2],\"data_offsets\":[0]"), "tensor 'a': data_offsets: expected 2 integers, found 1"},
      {one("\"shape\":[2],\"data_offsets\":[8,0]"), "tensor 'a': data_offsets: begin 8 is after end 0"},
      {one("\"shape\":[2],\"data_offsets\":[-8,0]"), "tensor 'a': data_offsets: -8 is negative"},
      {one("\"shape\":[2],\"data_offsets\":[4,12]", 12),
       "bytes 0 to 4 between the start of the data and tensor 'a' belong to no tensor"},
      {one(fine, 7), "tensor 'a' ends at byte 8, the file's data at byte 7"},
      {one(fine, 9), "the last 1 bytes belong to no tensor"},
      {file_of("{}", 1), "the last 1 bytes belong to no tensor"},
      {file_of(pair_head + "{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[7,10]}}", 10),
       "tensor 'b' at byte 7 overlaps tensor 'a'"},
      {file_of(pair_head + "{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}", 8),
       "tensor 'a' at byte 0 overlaps tensor 'b'"},
      {file_of(pair_head + "{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[9,12]}}", 12),
       "bytes 8 to 9 between tensor 'a' and tensor 'b' belong to no tensor"},
      {file_of(pair_head + "{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[4,4]}}", 8),
       "tensor 'b' at byte 4 overlaps tensor 'a'"},
      {file_of("{\"__metadata__\":[]}", 0), "__metadata__: expected an object, found an array"},
      {file_of("{\"__metadata__\":{\"k\":1}}", 0), "__metadata__: 'k': expected a string, found an integer"},
      {file_of("{\"a\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3),
       "tensor 'a': a BOOL byte is 0 or 1, found 2"},
  };
  for (const Row& row : rows) {
    const std::string message = error_of(row.bytes);
    CAPTURE(row.message);
    CAPTURE(message);
    CHECK(message.compare(0, row.message.size(), row.message) == 0);
  }
}

TEST_CASE("safetensors: round trip keeps order, shapes and bits") {
  const float quiet = std::bit_cast<float>(0x7FC12345u);
  const std::vector<NamedTensor> tensors = {
      {"z", Tensor::from(std::vector<float>{1.5f, -0.0f, quiet, 1e-42f, INFINITY, 0.1f}, {2, 3})},
      {"odd", Tensor::from(std::vector<uint8_t>{1, 2, 255}, {3})},
      {"d", Tensor::from(std::vector<double>{0.1}, {})},
      {"empty", Tensor::empty({0, 4})},
      {"l", Tensor::from(std::vector<int64_t>{INT64_MIN, INT64_MAX}, {2, 1, 1})},
      {"i", Tensor::from(std::vector<int32_t>{-1}, {1})},
      {"a \"quoted\" \xC3\xA9", Tensor::from(std::vector<float>{7}, {1})},
  };
  const ScratchFolder scratch;
  lathe::write_safetensors(scratch / "f", tensors, {{"format", "pt"}, {"note", "a\nb"}});
  const lathe::TensorFile back = lathe::read_safetensors(scratch / "f");
  CHECK(back.metadata == std::map<std::string, std::string>{{"format", "pt"}, {"note", "a\nb"}});
  REQUIRE(back.tensors.size() == tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    CHECK(back.tensors[i].name == tensors[i].name);
    CHECK(same_bits(back.tensors[i].tensor, tensors[i].tensor));
  }
  REQUIRE(back.find("i") != nullptr);
  CHECK(back.find("i")->ptr<int32_t>()[0] == -1);
  CHECK(back.find("none") == nullptr);

  lathe::write_safetensors(scratch / "g", tensors, {{"note", "a\nb"}, {"format", "pt"}});
  const std::string bytes = lathe::read_text(scratch / "f");
  CHECK(bytes == lathe::read_text(scratch / "g"));
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  CHECK(length % 8 == 0);
}

TEST_CASE("safetensors: the bytes of a small file") {
  const ScratchFolder scratch;
  lathe::write_safetensors(scratch / "f",
                           std::vector<NamedTensor>{{"w", Tensor::from(std::vector<int32_t>{1, 258}, {2})}});
  const std::string header = R"({"w":{"dtype":"I32","shape":[2],"data_offsets":[0,8]}}  )";
  CHECK(lathe::read_text(scratch / "f") ==
        with_length(56, header + std::string("\x01\0\0\0\x02\x01\0\0", 8)));
}

TEST_CASE("safetensors: no tensors at all, and only empty ones") {
  const ScratchFolder scratch;
  lathe::write_safetensors(scratch / "f", {});
  CHECK(lathe::read_safetensors(scratch / "f").tensors.empty());
  lathe::write_safetensors(scratch / "g", std::vector<NamedTensor>{{"b", Tensor::empty({0})},
                                                                   {"a", Tensor::empty({3, 0}, DType::I64)}});
  const lathe::TensorFile back = lathe::read_safetensors(scratch / "g");
  REQUIRE(back.tensors.size() == 2);
  CHECK(back.tensors[0].name == "b");
  CHECK(back.tensors[1].tensor.shape() == Shape{3, 0});
  CHECK(back.tensors[1].tensor.dtype() == DType::I64);
}

TEST_CASE("safetensors: tensors come in the order of their data, whatever the header's order") {
  const ScratchFolder scratch;
  lathe::write_atomic(
      scratch / "f",
      file_of("{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]},\"__metadata__\":{},"
              "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}   \n",
              3));
  const lathe::TensorFile file = lathe::read_safetensors(scratch / "f");
  REQUIRE(file.tensors.size() == 2);
  CHECK(file.tensors[0].name == "a");
  CHECK(file.tensors[0].tensor.ptr<uint8_t>()[0] == 0);
  CHECK(file.tensors[1].tensor.ptr<uint8_t>()[0] == 1);
  CHECK(file.tensors[1].tensor.ptr<uint8_t>()[1] == 2);
}

TEST_CASE("safetensors: narrow types are widened exactly") {
  const ScratchFolder scratch;
  const auto read = [&](const std::string& dtype, int64_t count, const std::string& data) {
    const std::string header = "{\"a\":{\"dtype\":\"" + dtype + "\",\"shape\":[" + std::to_string(count) +
                               "],\"data_offsets\":[0," + std::to_string(data.size()) + "]}}";
    lathe::write_atomic(scratch / "f", with_length(header.size(), header + data));
    return lathe::read_safetensors(scratch / "f").tensors.at(0).tensor;
  };
  const auto words = [](std::vector<uint16_t> values) {
    return std::string(reinterpret_cast<const char*>(values.data()), 2 * values.size());
  };
  const Tensor half = read("F16", 8, words({0x3C00, 0xC000, 0x0001, 0x03FF, 0x0400, 0x7BFF, 0xFC00, 0x8000}));
  const float expected[] = {1.0f, -2.0f, 0x1p-24f, 1023 * 0x1p-24f, 0x1p-14f, 65504.0f, -INFINITY, -0.0f};
  for (int i = 0; i < 8; ++i) {
    CHECK(half.ptr<float>()[i] == expected[i]);
    CHECK(std::signbit(half.ptr<float>()[i]) == std::signbit(expected[i]));
  }
  CHECK(std::isnan(read("F16", 1, words({0x7E00})).ptr<float>()[0]));
  const Tensor brain = read("BF16", 3, words({0x3F80, 0xC0A0, 0x0001}));
  CHECK(brain.ptr<float>()[0] == 1.0f);
  CHECK(brain.ptr<float>()[1] == -5.0f);
  CHECK(brain.ptr<float>()[2] == std::bit_cast<float>(0x10000u));
  CHECK(read("I16", 1, words({0x8000})).ptr<int64_t>()[0] == -32768);
  CHECK(read("U16", 1, words({0x8000})).ptr<int64_t>()[0] == 32768);
  CHECK(read("I8", 1, "\x80").ptr<int64_t>()[0] == -128);
  CHECK(read("U32", 1, "\xFF\xFF\xFF\xFF").ptr<int64_t>()[0] == 4294967295);
  CHECK(read("BOOL", 2, std::string("\x01\0", 2)).ptr<int64_t>()[0] == 1);
  CHECK(read("U8", 1, "\xFF").ptr<uint8_t>()[0] == 255);
}

TEST_CASE("safetensors: writing refuses what could not be read back") {
  const ScratchFolder scratch;
  const Tensor t = Tensor::zeros({1});
  const auto write = [&](const std::vector<NamedTensor>& tensors) {
    lathe::write_safetensors(scratch / "f", tensors);
  };
  CHECK_THROWS_WITH_AS(write({{"a", t}, {"a", t}}), "safetensors: two tensors are named 'a'",
                       lathe::FormatError);
  CHECK_THROWS_WITH_AS(write({{"__metadata__", t}}), "safetensors: '__metadata__' cannot name a tensor",
                       lathe::FormatError);
  CHECK_THROWS_AS(write({{"\xFF", t}}), lathe::FormatError);
  CHECK_THROWS_AS(write({{"a", Tensor()}}), lathe::ShapeError);
  CHECK_THROWS_AS(write({{"a", Tensor::empty({1}, DType::F32, lathe::Device::meta())}}), lathe::DeviceError);
  CHECK_FALSE(std::filesystem::exists(scratch / "f"));
}

TEST_CASE("safetensors: a missing file is an IoError") {
  CHECK_THROWS_AS(lathe::read_safetensors("/nonexistent/f.safetensors"), lathe::IoError);
}

TEST_SUITE_END();
