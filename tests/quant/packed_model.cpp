#include "quant/pack/packed_model.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "tests/quant/packed_files.h"
#include "tests/support/kernels.h"
#include "tests/support/scratch.h"

namespace lathe::tests {
namespace {

PackedModel read_back(const PackedModel& model) {
  return parse_packed(packed_bytes(model), "test");
}

const Codes& codes_of(const PackedModel& model, size_t i = 0) {
  return std::get<Codes>(model.tensors.at(i).content);
}

bool same(const Tensor& a, const Tensor& b) {
  return a.defined() == b.defined() && (!a.defined() || same_bits(a, b));
}

bool same(const Codes& a, const Codes& b) {
  return a.decoder == b.decoder && a.group == b.group && a.pytorch_order == b.pytorch_order &&
         same(a.integers, b.integers) && same(a.bits, b.bits) && same(a.scale, b.scale) &&
         same(a.offset, b.offset);
}

std::string refusal(const PackedModel& model) {
  try {
    packed_bytes(model);
  } catch (const FormatError& error) {
    return error.what();
  }
  return "no error";
}

PackedModel mixed_model() {
  PackedModel model;
  model.header.set("model", Value::object({{"name", Value::string("resnet20")}}));
  model.tensors = {
      {"a", make_codes({.bits = 2})},
      {"b", Tensor::from(std::vector<float>{1, -0.0f, 3}, {3})},
      {"c", make_codes({.decoder = Decoder::Range, .bits = 9, .group = 8, .bits_per_group = true})},
      {"d", make_codes({.shape = {200, 100}, .bits = 3, .group = 8})},
  };
  return model;
}

}  // namespace

TEST_SUITE_BEGIN("pack");

TEST_CASE("packed model: every decoder, width, shape and grouping comes back") {
  const Shape shapes[] = {{}, {1}, {7}, {3, 5}, {4, 3, 3, 5}, {2, 3, 1}, {0, 4}, {17, 2, 2, 31}};
  int files = 0;
  for (const Decoder decoder :
       {Decoder::Affine, Decoder::Range, Decoder::DeadZone, Decoder::ZeroPoint, Decoder::Half}) {
    for (int bits = decoder == Decoder::Half ? 16 : 1; bits <= 16; ++bits) {
      for (const Shape& shape : shapes) {
        for (const int64_t group : {0, 1, 8, 1000}) {
          for (const bool pytorch_order : {false, true}) {
            const bool per_group = decoder != Decoder::Half && group > 0 && bits % 2 == 0;
            const Codes codes = make_codes({decoder, shape, bits, group, per_group, pytorch_order});
            CAPTURE(to_string(decoder));
            CAPTURE(bits);
            CAPTURE(to_string(shape));
            CAPTURE(group);
            const PackedModel back = read_back({Value::object(), {{"w", codes}}});
            CHECK(same(codes_of(back), codes));
            if (shape.numel() > 0) CHECK(same_bits(decode(codes_of(back)), decode(codes)));
            ++files;
          }
        }
      }
    }
  }
  CHECK(files == 65 * 8 * 8);
}

TEST_CASE("packed model: plain tensors of every type") {
  const std::vector<PackedTensor> tensors = {
      {"f32", Tensor::from(std::vector<float>{1.5f, -0.0f}, {2})},
      {"f64", Tensor::from(std::vector<double>{0.1}, {})},
      {"i64", Tensor::from(std::vector<int64_t>{INT64_MIN, INT64_MAX}, {1, 2})},
      {"i32", Tensor::from(std::vector<int32_t>{-1}, {1})},
      {"u8", Tensor::from(std::vector<uint8_t>{0, 255, 7}, {3})},
      {"empty", Tensor::empty({4, 0, 2})},
      {"\xC3\xA9 \"x\"", Tensor::zeros({1})},
  };
  const PackedModel back = read_back({Value::object(), tensors});
  REQUIRE(back.tensors.size() == tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    CHECK(back.tensors[i].name == tensors[i].name);
    CHECK(same(std::get<Tensor>(back.tensors[i].content), std::get<Tensor>(tensors[i].content)));
  }
  CHECK(read_back({}).tensors.empty());
}

TEST_CASE("packed model: the header is canonical and comes back") {
  PackedModel a, b;
  a.header = parse_json(R"({"z":[1,2.5,{"y":null,"x":-0.0}],"a":{"d":"\u00e9","c":true}})", "a");
  b.header = parse_json(R"({ "a": {"c":true,"d":"é"}, "z":[1,2.5,{"x":-0.0,"y":null}] })", "b");
  CHECK(packed_bytes(a) == packed_bytes(b));
  CHECK(packed_size(a) == static_cast<int64_t>(packed_bytes(a).size()));
  CHECK(read_back(a).header == a.header);
  CHECK(to_json(read_back(a).header) == R"({"a":{"c":true,"d":"é"},"z":[1,2.5,{"x":-0.0,"y":null}]})");
}

TEST_CASE("packed model: a file, written atomically, the same bytes on any number of threads") {
  const ScratchFolder scratch;
  const PackedModel model = mixed_model();
  write_packed(scratch / "m.lathe", model);
  const std::vector<std::byte> bytes = read_bytes(scratch / "m.lathe");
  for (const int n : {1, 2, 3}) {
    const Threads threads(n);
    CHECK(packed_bytes(model) == bytes);
    const PackedModel back = read_packed(scratch / "m.lathe");
    CHECK(packed_bytes(back) == bytes);
    for (const size_t i : {size_t{0}, size_t{2}, size_t{3}}) {
      CHECK(same_bits(decode(codes_of(back, i)), decode(codes_of(model, i))));
    }
  }
  CHECK_THROWS_AS(read_packed(scratch / "none.lathe"), IoError);
}

TEST_CASE("packed model: weights at once are the codes decoded; the outline alone") {
  const ScratchFolder scratch;
  const PackedModel model = mixed_model();
  const std::filesystem::path path = scratch / "m.lathe";
  write_packed(path, model);
  const UnpackedModel outline = read_packed_outline(path);
  CHECK(outline.header == model.header);
  REQUIRE(outline.tensors.size() == model.tensors.size());
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    const Codes* codes = std::get_if<Codes>(&model.tensors[i].content);
    CHECK(outline.tensors[i].name == model.tensors[i].name);
    CHECK(outline.tensors[i].tensor.device() == Device::meta());
    CHECK(outline.tensors[i].tensor.shape() ==
          (codes != nullptr ? codes->integers : std::get<Tensor>(model.tensors[i].content)).shape());
  }
  for (const int n : {1, 3}) {
    const Threads threads(n);
    const UnpackedModel unpacked = read_unpacked(path);
    CHECK(unpacked.header == model.header);
    REQUIRE(unpacked.tensors.size() == model.tensors.size());
    for (size_t i = 0; i < model.tensors.size(); ++i) {
      const Codes* codes = std::get_if<Codes>(&model.tensors[i].content);
      CHECK(unpacked.tensors[i].name == model.tensors[i].name);
      CHECK(same_bits(unpacked.tensors[i].tensor,
                      codes != nullptr ? decode(*codes) : std::get<Tensor>(model.tensors[i].content)));
    }
  }
  std::vector<std::byte> bytes = read_bytes(path);
  bytes.back() ^= std::byte{1};
  write_atomic(path, bytes);
  CHECK_THROWS_AS(read_packed_outline(path), FormatError);
  CHECK_THROWS_AS(read_unpacked(path), FormatError);
  CHECK_THROWS_AS(read_packed_outline(scratch / "none.lathe"), IoError);
}

TEST_CASE("packed model: the layout adds up to the file's size") {
  const std::vector<std::byte> bytes = packed_bytes(mixed_model());
  const PackedLayout layout = layout_packed(bytes, "test");
  CHECK(layout.bytes() == static_cast<int64_t>(bytes.size()));
  REQUIRE(layout.tensors.size() == 4);
  CHECK(layout.tensors[1].codec == "tensor");
  CHECK(layout.tensors[1].payload == 12);
  CHECK(layout.tensors[2].widths > 0);
  CHECK(layout.tensors[2].offsets == 4 * 23);
  CHECK(layout.tensors[3].codec == "ans");
  CHECK(layout.tensors[3].elements == 20000);
  CHECK(layout.tensors[3].scales == 4 * 2500);
  CHECK(static_cast<double>(layout.tensors[3].payload) <= 1.01 * layout.tensors[3].entropy + 64);
  CHECK(static_cast<double>(layout.tensors[3].payload) >= layout.tensors[3].entropy);
  CHECK(layout_packed(packed_bytes({}), "test").bytes() == static_cast<int64_t>(packed_bytes({}).size()));
}

TEST_CASE("packed model: widths of groups cost at most the bits of their range") {
  for (const int64_t group : {1, 8, 64}) {
    const Codes codes = make_codes({.shape = {64, 125}, .bits = 6, .group = group, .bits_per_group = true});
    const PackedLayout layout = layout_packed(packed_bytes({Value::object(), {{"w", codes}}}), "test");
    CHECK(layout.tensors[0].widths <= (codes.groups() * 3 + 7) / 8);
  }
}

TEST_CASE("packed model: what is not written") {
  const auto tensors = [](std::vector<PackedTensor> list) {
    return PackedModel{Value::object(), std::move(list)};
  };
  const Tensor t = Tensor::zeros({1});
  CHECK(refusal(tensors({{"a", t}, {"a", t}})) == "packed model: two tensors are named 'a'");
  CHECK(refusal(tensors({{"", t}})) == "packed model: a tensor's name has 1 to 65535 bytes, found 0");
  CHECK(refusal(tensors({{"\xFF", t}})).find("is not UTF-8") != std::string::npos);
  CHECK(refusal(tensors({{"a", Tensor()}})) == "packed model: tensor 'a': the tensor is undefined");
  CHECK(refusal(tensors({{"a", Tensor::empty({1}, DType::F32, Device::meta())}})).find("only host tensors") !=
        std::string::npos);
  CHECK(refusal(tensors({{"a", Tensor::empty({int64_t{1} << 32}, DType::F32, Device::meta())}})) !=
        "no error");
  Codes codes = make_codes({.bits = 2});
  codes.integers.mut<int32_t>()[5] = 2;
  CHECK(refusal(tensors({{"a", codes}})) ==
        "packed model: tensor 'a': code 5 of group 0: expected -2 to 1, found 2");
  PackedModel model;
  model.header = Value::integer(1);
  CHECK(refusal(model) == "packed model: header: expected an object, found an integer");
  model.header = Value::object({{"x", Value::real(INFINITY)}});
  CHECK(refusal(model).find("is no number of JSON") != std::string::npos);
  model.header = Value::object({{"x", Value::string("\xFF")}});
  CHECK(refusal(model) == "packed model: header: a text is not UTF-8");
  model.header = Value::object();
  model.header.append("x", Value::integer(1));
  model.header.append("x", Value::integer(2));
  CHECK(refusal(model).find("key 'x' appears twice") != std::string::npos);
}

TEST_SUITE_END();

}  // namespace lathe::tests
