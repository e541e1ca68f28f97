// Terms of the loss, and numbers that follow a run.

#include "quant/regularizers.h"

#include <cmath>

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/json.h"
#include "layers/init.h"
#include "quant/attach.h"

namespace lathe {
namespace {

struct Net : Module {
  explicit Net(const std::string& rule)
      : Module({.seed = 3}),
        weight(*this, "weight",
               {.shape = {4, 3, 3, 5}, .init = init::normal(0.3), .axes = Axes::ConvWeight}) {
    attach_quantizers(*this, parse_json(R"({"rules": [)" + rule + "]}", "test"), {"test", "quant"});
    for (Quantizer* one : quantizers_of(*this)) one->initialise();
    ++run().forward;
  }
  Parameter weight;
};

std::unique_ptr<Regularizer> regularizer(const std::string& text) {
  return std::move(build_regularizers(parse_json("[" + text + "]", "test"), {"test", "regularizers"}).at(0));
}

double value_of(const Regularizer& one, Net& net, const Moment& moment) {
  const Var term = one.term(quantizers_of(net), moment);
  return term.defined() ? term.data().item() : 0;
}

}  // namespace

TEST_SUITE_BEGIN("quant methods");

TEST_CASE("a regulariser's weight follows its schedule, and a weight of 0 is no term") {
  Net net(R"({"type": "lsq", "bits": 3})");
  for (const char* type : {"size", "oscillation", "dampening"}) {
    CAPTURE(type);
    const auto plain = regularizer(concat(R"({"type": ")", type, R"(", "weight": 3})"));
    const auto ramp = regularizer(concat(R"({"type": ")", type, R"(", "weight": 3, "schedule":
        {"type": "cosine", "start": 0, "end": 0.5, "begin": 0.25}})"));
    const double full = value_of(*plain, net, {0, 100});
    CHECK(full != 0);
    CHECK(!ramp->term(quantizers_of(net), {24, 100}).defined());
    CHECK(!ramp->term(quantizers_of(net), {25, 100}).defined());
    CHECK(value_of(*ramp, net, {100, 100}) == doctest::Approx(full / 2));
    CHECK(value_of(*ramp, net, {50, 100}) ==
          doctest::Approx(full / 4 * (1 - std::cos(3.14159265358979 / 3))));
  }
}

TEST_CASE("schedules are strict, and resolved with all defaults") {
  CHECK_THROWS_WITH_AS(regularizer(R"({"type": "size", "weight": 1, "schedule": {"type": "cosin"}})"),
                       doctest::Contains("did you mean 'cosine'"), ConfigError);
  CHECK_THROWS_WITH_AS(
      regularizer(R"({"type": "size", "weight": 1, "schedule": {"type": "cosine", "from": 1}})"),
      doctest::Contains("regularizers[0].schedule"), ConfigError);
  const Value resolved = resolve_regularizers(
      parse_json(R"([{"type": "dampening", "weight": 2, "schedule": {"type": "cosine", "end": 0.1}}])",
                 "test"),
      {"test", "regularizers"});
  CHECK(
      to_json(resolved) ==
      R"([{"type":"dampening","weight":2.0,"schedule":{"type":"cosine","start":0.0,"end":0.1,"begin":0.25},)"
      R"("kind":"kernel_mean"}])");
}

TEST_CASE("a budget of bytes: free below it, the square of the excess above") {
  Net net(R"({"type": "dq", "bits": 4})");
  const std::vector<Quantizer*> all = quantizers_of(net);
  const auto with = [](double budget, const char* weight) {
    return regularizer(concat(R"({"type": "size", "weight": )", weight, R"(, "budget": )", budget, "}"));
  };
  const auto gradients = [&](const Regularizer& one) {
    const std::vector<Parameter*> numbers = all.at(0)->parameters();  // step and range
    for (Parameter* number : numbers) number->raw().grad() = Tensor();
    backward(one.term(all, {0, 1}));
    std::vector<double> found;
    for (Parameter* number : numbers) found.push_back(number->raw().grad().item());
    return found;
  };
  const auto plain = regularizer(R"({"type": "size", "weight": 1})");
  const double size = value_of(*plain, net, {0, 1});
  REQUIRE(size > 0);
  CHECK(value_of(*with(2 * size, "1e6"), net, {0, 1}) == 0);
  const double half = size / 2;
  CHECK(value_of(*with(half, "1e6"), net, {0, 1}) == doctest::Approx(1e6 * half * half));
  const std::vector<double> slope = gradients(*plain), steep = gradients(*with(half, "1e6")),
                            none = gradients(*with(2 * size, "1e6"));
  REQUIRE(slope.size() == 2);
  CHECK(slope[0] < 0);
  CHECK(slope[1] > 0);
  for (size_t i = 0; i < slope.size(); ++i) {
    CHECK(steep[i] == doctest::Approx(1e6 * 2 * half * slope[i]));
    CHECK(none[i] == 0);
  }
  CHECK_THROWS_AS(with(-1, "1"), ConfigError);
}

TEST_CASE("dampening: the mean squared distance from the bins' centres, for groups of any order and size") {
  for (const char* groups : {"", R"(, "granularity": "channel")", R"(, "granularity": "group", "group": 7)",
                             R"(, "granularity": "group", "group": 7, "order": "pytorch")"}) {
    CAPTURE(groups);
    Net net(concat(R"({"type": "lsq", "bits": 8)", groups, "}"));
    const Tensor w = net.weight.raw().data(), q = net.weight.quantized().data();
    double sum = 0;
    for (int64_t i = 0; i < w.numel(); ++i) {
      const double d = static_cast<double>(w.ptr<float>()[i]) - static_cast<double>(q.ptr<float>()[i]);
      sum += d * d;
    }
    const auto value = [&](const char* kind) {
      return value_of(*regularizer(concat(R"({"type": "dampening", "weight": 1, "kind": ")", kind, R"("})")),
                      net, {0, 1});
    };
    CHECK(value("sum") == doctest::Approx(sum).epsilon(1e-4));
    CHECK(value("mean") == doctest::Approx(sum / 180).epsilon(1e-4));
    CHECK(value("kernel_mean") == doctest::Approx(sum / 45).epsilon(1e-4));
  }
}

TEST_CASE("dampening needs a quantizer with a step") {
  Net net(R"({"type": "codeq"})");
  const auto dampening = regularizer(R"({"type": "dampening", "weight": 1})");
  CHECK_THROWS_WITH_AS(dampening->check(quantizers_of(net)), doctest::Contains("such as lsq"), ConfigError);
  Net stepped(R"({"type": "lsq_plus"})");
  CHECK_NOTHROW(dampening->check(quantizers_of(stepped)));
}

TEST_CASE("oscillation needs quantizers that round in training, each of them") {
  const auto oscillation = regularizer(R"({"type": "oscillation", "weight": 1})");
  for (const char* rule :
       {R"({"type": "minmax", "qat": false})", R"({"type": "absmax", "qat": false})", R"({"type": "diffq"})",
        R"({"type": "quant_noise"})", R"({"type": "quant_noise", "p": 0.5, "block": 5})"}) {
    CAPTURE(rule);
    Net net(rule);
    const std::string method = quantizers_of(net).at(0)->method();
    CHECK_THROWS_WITH_AS(oscillation->check(quantizers_of(net)),
                         doctest::Contains(concat("oscillation: weight is not rounded in training by its "
                                                  "quantizer '",
                                                  method, "'")
                                               .c_str()),
                         ConfigError);
    CHECK_THROWS_AS(value_of(*oscillation, net, {0, 1}), ConfigError);
  }
  for (const char* rule :
       {R"({"type": "minmax", "bits": 3})", R"({"type": "absmax", "bits": 3})", R"({"type": "lsq"})",
        R"({"type": "lsq_plus"})", R"({"type": "codeq"})", R"({"type": "dq"})", R"({"type": "float16"})",
        R"({"type": "quant_noise", "p": 1, "bits": 3})"}) {
    CAPTURE(rule);
    Net net(rule);
    CHECK_NOTHROW(oscillation->check(quantizers_of(net)));
    CHECK(value_of(*oscillation, net, {0, 1}) != 0);
  }
}

TEST_SUITE_END();

}  // namespace lathe
