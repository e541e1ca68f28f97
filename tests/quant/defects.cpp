// Defects that were observed in the authors' libraries (methods.md sections 3.10 and 4.9, by their numbers
// there), each with what happens here instead.

#include <cmath>
#include <cstring>
#include <limits>

#include <doctest/doctest.h>

#include "autograd/ops/reduce.h"
#include "core/error.h"
#include "core/json.h"
#include "layers/init.h"
#include "quant/pack/packed_model.h"
#include "tests/quant/one_parameter.h"
#include "train/packing.h"

namespace lathe {
namespace {

struct Net : tests::OneParameter {
  explicit Net(const std::string& rule, DType dtype = DType::F32, const Shape& shape = {6, 35})
      : OneParameter(rule, {.shape = shape, .dtype = dtype}) {}
};

/// What a file holds of the weight that evaluation multiplies with.
bool survives_packing(Net& net) {
  const PackedModel packed = pack_model(Value::object(), net);
  const PackedModel read = parse_packed(packed_bytes(packed), "test");
  return same_bits(decode(std::get<Codes>(read.tensors.at(0).content)), net.value(Mode::Eval));
}

std::vector<double> logits(Net& net, double value) {
  return std::vector<double>(static_cast<size_t>(net.find_parameter("weight_diffq.bits")->numel()), value);
}

}  // namespace

TEST_SUITE_BEGIN("quant methods");

TEST_CASE("3.10.1: groups of 15 bits, alone and among others, are packed like any") {
  Net net(R"({"type": "diffq", "group": 7})");
  net.put("weight_diffq.bits", logits(net, 30));
  CHECK(net.quantizer->encode(net.weight.raw().data()).bits.ptr<uint8_t>()[3] == 15);
  CHECK(survives_packing(net));
  std::vector<double> mixed = logits(net, -30);
  for (size_t i = 0; i < mixed.size(); i += 2) mixed[i] = 30;
  net.put("weight_diffq.bits", mixed);
  CHECK(survives_packing(net));
}

TEST_CASE("3.10.2: one group for the whole tensor is packed and read back") {
  Net net(R"({"type": "diffq", "group": 0})");
  CHECK(survives_packing(net));
}

TEST_CASE("3.10.3: a least width that is not whole packs") {
  Net net(R"({"type": "diffq", "group": 7, "min_bits": 2.5, "init_bits": 3})");
  CHECK(survives_packing(net));
}

TEST_CASE("3.10.4: uniform quantizers pack at every width, and a width that is not whole is refused") {
  for (int bits = 1; bits <= 15; ++bits) {
    CAPTURE(bits);
    Net net(concat(R"({"type": "minmax", "bits": )", bits, "}"));
    CHECK(survives_packing(net));
  }
  CHECK_THROWS_AS(Net(R"({"type": "minmax", "bits": 9.6})"), ConfigError);
}

TEST_CASE("3.10.5: tied parameters are stored once and share their values") {
  struct Tied : Module {
    Tied() : Module({.seed = 1}) {}
    Parameter first{*this, "first", {.shape = {4, 16}, .init = init::normal(1)}};
    Parameter second{*this, "second", {.shape = {4, 16}, .init = init::normal(1)}};
  };
  const auto tied = [](Tied& model, const char* section) {
    model.second.tie(model.first);
    attach_quantizers(model, parse_json(section, "test"), {"test", "quant"});
    model.run().mode = Mode::Eval;
    ++model.run().forward;
  };
  Tied model, loaded;
  tied(model, R"({"rules": [{"type": "diffq"}]})");
  tied(loaded, "null");
  const PackedModel packed = parse_packed(packed_bytes(pack_model(Value::object(), model)), "test");
  CHECK(packed.tensors.size() == 1);
  load_packed(loaded, packed, "test");
  CHECK(same_bits(loaded.second.value().data(), model.second.value().data()));
}

TEST_CASE("3.10.6: half precision packs") {
  Net net(R"({"type": "float16"})");
  CHECK(survives_packing(net));
}

TEST_CASE("3.10.7, 4.9: a NaN anywhere is an error that names the weight, never a tensor of NaN") {
  for (const char* rule : {R"({"type": "diffq"})", R"({"type": "minmax"})", R"({"type": "codeq"})"}) {
    CAPTURE(rule);
    Net net(rule);
    net.put("weight", {0.1, std::numeric_limits<double>::quiet_NaN()});
    CHECK_THROWS_WITH_AS(net.value(Mode::Eval), doctest::Contains("in weight_"), DivergedError);
    net.put("weight", std::vector<double>(6, std::numeric_limits<double>::quiet_NaN()));  // over 1 %
    CHECK_THROWS_AS(net.value(Mode::Eval), DivergedError);
  }
}

TEST_CASE("3.10.8: no codes at all are packed and read back") {
  Codes codes;
  codes.integers = Tensor::empty({0, 5}, DType::I32);
  codes.bits = Tensor::full({1}, 4, DType::U8);
  codes.scale = Tensor::full({1}, 0.5);
  PackedModel packed{.header = Value::object(), .tensors = {}};
  packed.tensors.push_back({"empty", codes});
  const PackedModel read = parse_packed(packed_bytes(packed), "test");
  CHECK(decode(std::get<Codes>(read.tensors.at(0).content)).shape() == Shape({0, 5}));
}

TEST_CASE("3.10.9: widths below min_bits, from negative extra_bits, pack") {
  Net net(R"({"type": "diffq", "group": 7, "min_bits": 3, "extra_bits": -2})");
  net.put("weight_diffq.bits", logits(net, -30));
  CHECK(net.quantizer->encode(net.weight.raw().data()).bits.ptr<uint8_t>()[0] == 1);
  CHECK(survives_packing(net));
}

TEST_CASE("4.9: CoDeQ of zeros is zeros with finite gradients, of a constant the constant") {
  Net net(R"({"type": "codeq", "bits": 4})");
  const auto gradients_are_finite = [&] {
    backward(sum(net.weight.value()));
    bool finite = std::isfinite(net.find_parameter("weight_codeq.dead_zone")->raw().grad().item());
    for (const float g : net.weight.raw().grad().span<float>()) finite = finite && std::isfinite(g);
    return finite;
  };
  net.put("weight", std::vector<double>(210, 0));
  for (const float value : net.value(Mode::Train).span<float>()) CHECK(value == 0);
  CHECK(gradients_are_finite());
  net.put("weight", std::vector<double>(210, -0.25));
  for (const float value : net.value(Mode::Train).span<float>()) CHECK(value == doctest::Approx(-0.25));
  CHECK(gradients_are_finite());
}

TEST_CASE("4.9: CoDeQ computes in double precision too") {
  Net net(R"({"type": "codeq", "learn_bits": true})", DType::F64);
  CHECK(net.value(Mode::Train).dtype() == DType::F64);
  CHECK(net.value(Mode::Eval).dtype() == DType::F64);
}

TEST_CASE("4.9: CoDeQ does not look at the signs of its logits") {
  Net net(R"({"type": "codeq", "learn_bits": true})");
  const auto value = [&](double dead_zone, double bits) {
    net.put("weight_codeq.dead_zone", {dead_zone});
    net.put("weight_codeq.bits", {bits});
    return net.value(Mode::Train);
  };
  CHECK(same_bits(value(0.7, 0.4), value(-0.7, 0.4)));
  CHECK(same_bits(value(0.7, 0.4), value(0.7, -0.4)));
}

TEST_CASE(
    "4.4: the floor of CoDeQ's step bounds the gradient of a dead zone that has grown to the amplitude") {
  const auto slope = [](const char* floor) {
    Net net(concat(R"({"type": "codeq", "bits": 4, "step_floor": )", floor, "}"), DType::F32, {20, 100});
    net.put("weight_codeq.dead_zone", {1e-6});
    net.value(Mode::Train);
    backward(sum(net.weight.value()));
    return std::abs(net.find_parameter("weight_codeq.dead_zone")->raw().grad().item());
  };
  CHECK(slope("1e-4") < slope("0"));
}

TEST_SUITE_END();

}  // namespace lathe
