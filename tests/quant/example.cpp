// quant/README.md's example of a new method: compiled, gradient-checked, and under the laws.

#include <cstring>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/files.h"
#include "layers/init.h"
#include "quant/cases.h"
#include "quant/math/lsq.h"
#include "quant/quantizer.h"

namespace lathe {

QuantizerRegistry::Entry ternary_method();  // example_ternary.cpp

namespace {

struct Net : Module {
  Parameter weight;
  explicit Net(DType dtype = DType::F32)
      : Module({.seed = 3, .dtype = dtype}),
        weight(*this, "weight", {.shape = {5, 7}, .init = init::normal(0.4)}) {
    const Value section = Value::object({{"type", Value::string("ternary")}});
    weight.parametrize(ternary_method().build(section, {"", "rule"}, {*this, weight}));
  }
  Quantizer& quantizer() { return *quantizers_of(*this).at(0); }
};

Tensor value(Net& net, Mode mode) {
  net.run().mode = mode;
  ++net.run().forward;
  return net.weight.value().data();
}

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

}  // namespace

TEST_SUITE_BEGIN("quantizers");

TEST_CASE("the README's example is the file that is tested here") {
  const std::string readme = read_text(LATHE_SOURCE_DIR "/quant/README.md"),
                    example = read_text(LATHE_SOURCE_DIR "/tests/quant/example_ternary.cpp");
  CHECK(readme.find("```cpp\n" + example + "```\n") != std::string::npos);
}

TEST_CASE("the README's example keeps the laws") {
  Net net;
  const Tensor trained = value(net, Mode::Train), evaluated = value(net, Mode::Eval);
  CHECK(same(trained, evaluated));
  const Codes codes = net.quantizer().encode(net.weight.raw().data());
  check_codes(codes, "ternary");
  CHECK(same(decode(codes), evaluated));
  for (const int32_t code : codes.integers.span<int32_t>()) CHECK(std::abs(code) <= 1);

  Tensor broken = net.weight.raw().data().clone();
  broken.mut<float>()[3] = NAN;
  CHECK_THROWS_AS(net.quantizer().encode(broken), DivergedError);
}

TEST_CASE("the README's example has the straight-through gradient, scale included") {
  using quant::Frozen;
  QuantCase ternary;
  ternary.op.name = "quant example ternary";
  ternary.op.inputs = {{Shape({5, 7})}};
  ternary.op.apply = [](const std::vector<Var>& in) {
    Net net(DType::F64);
    net.weight.raw().set_data(in[0].data());
    return net.weight.parametrization()->apply(in[0], net.run(), 0);
  };
  ternary.surrogate = [](const FrozenTensors& in) {
    Frozen sum = 0;
    for (const Frozen& w : in[0]) sum += quant::magnitude(w);
    const Frozen scale = sum / static_cast<double>(in[0].size());
    std::vector<Frozen> out;
    for (const Frozen& w : in[0]) out.push_back(quant::lsq_value(w, scale, Frozen(0), Frozen(-1), Frozen(1)));
    return out;
  };
  const GradcheckRow row = gradcheck_case(ternary);
  CHECK_MESSAGE(row.passed, row.message);
  CHECK(row.probes == 35);
  CHECK(row.worst <= 1e-6);
}

TEST_SUITE_END();

}  // namespace lathe
