#include "layers/parameter.h"

#include <doctest/doctest.h>

#include "autograd/checkpoint.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "core/error.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/quant_site.h"

using namespace lathe;

TEST_SUITE_BEGIN("layers");

namespace {

// Doubles the weight and counts how often it was asked.
struct Doubled : Parametrization {
  Var apply(const Var& raw, const RunState&, uint32_t) override {
    ++calls;
    return scale(raw, 2);
  }
  bool in_training_forward() const override { return trains; }
  int calls = 0;
  bool trains = true;
};

struct Halved : ActivationParametrization {
  Var apply(const Var& x, const RunState&, uint32_t stream) override {
    last_stream = stream;
    return scale(x, 0.5);
  }
  uint32_t last_stream = 0;
};

Var ones(const Shape& shape) {
  return Var(Tensor::full(shape, 1));
}

}  // namespace

TEST_CASE("a parametrised value is evaluated once per forward and gathers the gradient of every use") {
  Module root;
  Linear linear(root, "fc", 3, 2, {.bias = false});
  const auto doubled = std::make_shared<Doubled>();
  linear.weight().parametrize(doubled);
  root.run().forward = 1;
  const Var y = add(linear(ones({1, 3})), linear(ones({1, 3})));
  CHECK(doubled->calls == 1);
  CHECK(linear.weight().quantized().same(linear.weight().value()));
  backward(sum(y));
  CHECK(doubled->calls == 1);
  for (const float g : linear.weight().raw().grad().span<float>()) CHECK(g == 4);  // two uses, factor two

  root.run().forward = 2;
  linear(ones({1, 3}));
  CHECK(doubled->calls == 2);
  root.run().mode = Mode::Eval;
  linear(ones({1, 3}));
  linear(ones({1, 3}));
  CHECK(doubled->calls == 3);
  linear.weight().raw().mutable_data().mut<float>()[0] = 9;  // a new version, hence a new value
  linear(ones({1, 3}));
  CHECK(doubled->calls == 4);
  linear.weight().raw().set_data(Tensor::zeros({2, 3}));  // another tensor, whatever its version says
  CHECK(linear.weight().value().data().ptr<float>()[0] == 0);
  CHECK(doubled->calls == 5);
}

TEST_CASE("a parametrization may leave the training forward alone") {
  Module root;
  Linear linear(root, "fc", 3, 2);
  const auto doubled = std::make_shared<Doubled>();
  doubled->trains = false;
  linear.weight().parametrize(doubled);
  CHECK(linear.weight().value().same(linear.weight().raw()));
  CHECK_FALSE(linear.weight().quantized().same(linear.weight().raw()));
  root.run().mode = Mode::Eval;
  CHECK_FALSE(linear.weight().value().same(linear.weight().raw()));
}

TEST_CASE("a parametrised weight inside a recomputed block is evaluated once and gets the same gradient") {
  const auto gradient = [](bool recomputed) {
    Module root({.seed = 5});
    Linear linear(root, "fc", 4, 4);
    const auto doubled = std::make_shared<Doubled>();
    linear.weight().parametrize(doubled);
    root.run().forward = 1;
    const auto block = [&](const std::vector<Var>& in) { return square(linear(linear(in[0]))); };
    const Var x = ones({2, 4});
    backward(sum(recomputed ? checkpoint(block, {x}) : block({x})));
    CHECK(doubled->calls == 1);
    return linear.weight().raw().grad();
  };
  const Tensor plain = gradient(false), again = gradient(true);
  REQUIRE(again.defined());
  CHECK(std::equal(plain.span<float>().begin(), plain.span<float>().end(), again.span<float>().begin()));
}

TEST_CASE("a model that a file fills: weights are zeros, what quantizers add has its first values") {
  Module root({.draw = false});
  Parameter weight(root, "weight", {.shape = {3}, .init = init::constant(2)});
  for (const Role role : {Role::Scale, Role::Bits, Role::DeadZone}) {
    Parameter own(root, "own", {.shape = {3}, .init = init::constant(2), .role = role});
    CHECK(own.raw().data().ptr<float>()[2] == 2);
  }
  CHECK(weight.raw().data().ptr<float>()[2] == 0);
}

TEST_CASE("a tree has no more parameters than its root allows, tied ones counted") {
  Module root({.device = Device::meta(), .most_parameters = 3});
  Linear a(root, "a", 3, 3), b(root, "b", 3, 3, {.bias = false});
  b.weight().tie(a.weight());
  CHECK_THROWS_WITH_AS(Linear(root, "c", 3, 3), doctest::Contains("more than 3 parameters"), ConfigError);
}

TEST_CASE("tied parameters are one tensor under two names") {
  Module root;
  Linear a(root, "a", 3, 3, {.bias = false}), b(root, "b", 3, 3, {.bias = false});
  const Linear wide(root, "wide", 4, 3);
  b.weight().tie(a.weight());
  CHECK_THROWS_AS(b.weight().tie(*root.find_parameter("wide.weight")), ShapeError);
  CHECK(b.weight().tied());
  CHECK_FALSE(a.weight().tied());
  CHECK(&b.weight().owner() == &a.weight());
  CHECK(b.weight().path() == "b.weight");
  CHECK(root.parameters().size() == 4);
  backward(sum(b(a(ones({1, 3})))));
  const Tensor both = a.weight().raw().grad().clone();
  CHECK(b.weight().raw().grad().shares_storage(a.weight().raw().grad()));

  a.weight().raw().grad() = Tensor();
  const Var hidden = a(ones({1, 3}));
  backward(sum(b(hidden.detach())));
  const Tensor outer = a.weight().raw().grad().clone();
  CHECK_FALSE(std::equal(both.span<float>().begin(), both.span<float>().end(), outer.span<float>().begin()));
}

TEST_CASE("a quantization site is the identity, costs no op and owns no state until something is attached") {
  Module root;
  Linear linear(root, "fc", 2, 2, {.bias = false});
  const Var x = ones({1, 2});
  CHECK(linear.input()(x).same(x));
  const float before = linear(x).data().ptr<float>()[0];
  const auto halved = std::make_shared<Halved>();
  linear.input().attach(halved);
  CHECK(linear(x).data().ptr<float>()[0] == doctest::Approx(before / 2));
  CHECK(halved->last_stream == stream_id("fc.input.noise"));
  CHECK(root.parameters().size() == 1);
  CHECK(root.buffers().empty());
  linear.input().attach(nullptr);
  CHECK(linear.input()(x).same(x));
}

TEST_SUITE_END();
