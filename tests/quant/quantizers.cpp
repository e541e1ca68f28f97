// Laws over a table of quantizers, each on tensors of odd, tiny, constant and empty-looking content.

#include <cmath>
#include <cstring>
#include <limits>

#include <doctest/doctest.h>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "core/error.h"
#include "core/json.h"
#include "core/parallel.h"
#include "layers/init.h"
#include "quant/attach.h"

namespace lathe {
namespace {

struct Row {
  const char* rule;
  bool exact_forward;  ///< training multiplies with what evaluation does
};

constexpr Row kRows[] = {
    {R"({"type": "minmax", "bits": 1})", true},
    {R"({"type": "minmax", "bits": 4, "granularity": "channel"})", true},
    {R"({"type": "minmax", "bits": 15, "granularity": "group", "group": 7})", true},
    {R"({"type": "minmax", "bits": 3, "qat": false})", false},
    {R"({"type": "absmax", "bits": 2})", true},
    {R"({"type": "absmax", "bits": 8, "granularity": "channel", "grad_through_scale": true})", true},
    {R"({"type": "absmax", "bits": 5, "granularity": "group", "group": 7})", true},
    {R"({"type": "lsq", "bits": 2})", true},
    {R"({"type": "lsq", "bits": 4, "granularity": "channel", "init": "diffq"})", true},
    {R"({"type": "lsq", "bits": 15, "granularity": "group", "group": 7, "log_scale": true})", true},
    {R"({"type": "diffq", "group": 7})", false},
    {R"({"type": "diffq", "group": 0, "noise": "uniform", "param": "noise"})", false},
    {R"({"type": "diffq", "group": 1, "learn_bits": false, "init_bits": 3, "extra_bits": -4})", false},
    {R"({"type": "codeq", "bits": 2})", true},
    {R"({"type": "codeq", "bits": 15, "init_dead_zone": 0.5})", true},
    {R"({"type": "codeq", "learn_bits": true, "init_bits": 0.3, "step_floor": 0})", true},
    {R"({"type": "minmax", "bits": 4, "range": "percentile", "percentile": 90})", true},
    {R"({"type": "minmax", "bits": 3, "range": "mse", "granularity": "group", "group": 7})", true},
    {R"({"type": "absmax", "bits": 4, "range": "percentile", "granularity": "channel"})", true},
    {R"({"type": "absmax", "bits": 2, "range": "mse"})", true},
    {R"({"type": "lsq_plus", "bits": 4})", true},
    {R"({"type": "lsq_plus", "bits": 3, "granularity": "group", "group": 7, "log_scale": true})", true},
    {R"({"type": "quant_noise"})", false},
    {R"({"type": "quant_noise", "p": 1, "bits": 5, "granularity": "group", "group": 7})", true},
    {R"({"type": "quant_noise", "block": 4, "bits": 4, "granularity": "channel"})", false},
    {R"({"type": "dq"})", true},
    {R"({"type": "dq", "form": "u3", "bits": 3})", true},
    {R"({"type": "dq", "bits": 15, "max_bits": 15})", true},
    {R"({"type": "float16"})", true},
};

enum class Content { Random, Zeros, Constant };

/// One parameter under one rule.
struct Net : Module {
  Net(const char* rule, const Shape& shape, Content content)
      : Module({.seed = 7}),
        weight(*this, "weight",
               {.shape = shape,
                .init = content == Content::Random  ? init::normal(0.3)
                        : content == Content::Zeros ? init::constant(0)
                                                    : init::constant(0.37)}) {
    Value section = parse_json(std::string(R"({"rules": [)") + rule + "]}", "test");
    table = attach_quantizers(*this, section, {"test", "quant"});
    quantizer = quantizers_of(*this).at(0);
    quantizer->initialise();
    run().step = 3;
  }
  Tensor value(Mode mode) {
    run().mode = mode;
    ++run().forward;
    return weight.value().data();
  }
  Parameter weight;
  std::vector<AttachRow> table;
  Quantizer* quantizer;
};

template <class Fn>
void for_each_net(const Fn& fn) {
  for (const Row& row : kRows) {
    INFO(row.rule);
    for (const Shape& shape : {Shape({1}), Shape({5, 3, 3, 2}), Shape({17, 23}), Shape({3, 20011})}) {
      INFO(to_string(shape));
      for (const Content content : {Content::Random, Content::Zeros, Content::Constant}) {
        CAPTURE(static_cast<int>(content));
        Net net(row.rule, shape, content);
        fn(row, net, content);
      }
    }
  }
}

}  // namespace

TEST_SUITE_BEGIN("quantizers");

TEST_CASE("evaluation multiplies with decode(encode(w)), and training too where the method says so") {
  for_each_net([](const Row& row, Net& net, Content) {
    const Codes codes = net.quantizer->encode(net.weight.raw().data());
    CHECK_NOTHROW(check_codes(codes, "test"));
    const Tensor evaluated = net.value(Mode::Eval);
    CHECK(same_bits(evaluated, decode(codes)));
    if (row.exact_forward) CHECK(same_bits(net.value(Mode::Train), evaluated));
  });
}

TEST_CASE("every width a method has: codes fit, and training rounds as evaluation does") {
  struct Method {
    const char* name;
    const char* rest;
    int least;
  };
  for (const Method& method :
       {Method{"minmax", "", 1}, Method{"absmax", "", 2}, Method{"lsq", "", 2}, Method{"lsq_plus", "", 2},
        Method{"codeq", "", 2}, Method{"dq", R"(, "max_bits": 15)", 2},
        Method{"dq", R"(, "max_bits": 15, "form": "u3")", 2}, Method{"quant_noise", R"(, "p": 1)", 1}}) {
    for (int bits = method.least; bits <= 15; ++bits) {
      const std::string rule = concat(R"({"type": ")", method.name, R"(", "bits": )", bits, method.rest, "}");
      INFO(rule);
      Net net(rule.c_str(), {3, 20011}, Content::Random);
      const Codes codes = net.quantizer->encode(net.weight.raw().data());
      CHECK_NOTHROW(check_codes(codes, "test"));
      CHECK(same_bits(net.value(Mode::Eval), decode(codes)));
      CHECK(same_bits(net.value(Mode::Train), decode(codes)));
    }
  }
}

TEST_CASE("an empty range gives its constant back") {
  for_each_net([](const Row&, Net& net, Content content) {
    const std::string& method = net.quantizer->method();
    const bool ranged = method == "minmax" || method == "diffq";
    if (content == Content::Random || (content == Content::Constant && !ranged)) return;
    CHECK(same_bits(net.value(Mode::Eval), net.weight.raw().data()));
    CHECK(same_bits(net.value(Mode::Train), net.weight.raw().data()));
  });
}

TEST_CASE(
    "values and gradients have the same bits for any number of threads, and noise is a function of the "
    "step") {
  for_each_net([](const Row& row, Net& net, Content content) {
    if (content != Content::Random) return;
    const int before = num_threads();
    Tensor first_value, first_gradient;
    for (const int threads : {1, 2, 3}) {
      set_num_threads(threads);
      const Tensor value = net.value(Mode::Train);
      backward(sum(square(net.weight.value())));
      const Tensor gradient = net.weight.raw().grad();
      net.weight.raw().grad() = Tensor();
      if (threads == 1) {
        first_value = value;
        first_gradient = gradient;
      }
      CHECK(same_bits(value, first_value));
      CHECK(same_bits(gradient, first_gradient));
    }
    set_num_threads(before);
    const std::string& method = net.quantizer->method();
    const bool noisy = method == "diffq" || (method == "quant_noise" && !row.exact_forward);
    if (!noisy || net.weight.numel() == 1) return;
    net.run().step = 4;
    CHECK(!same_bits(net.value(Mode::Train), first_value));
    net.run().step = 3;
    CHECK(same_bits(net.value(Mode::Train), first_value));
  });
}

TEST_CASE("uses of one forward share one value, and their gradients add up") {
  for_each_net([](const Row&, Net& net, Content content) {
    if (content != Content::Random) return;
    net.value(Mode::Train);
    CHECK(net.weight.value().same(net.weight.value()));
    backward(sum(net.weight.value()));
    const Tensor once = net.weight.raw().grad();
    net.weight.raw().grad() = Tensor();
    net.value(Mode::Train);
    backward(add(sum(net.weight.value()), sum(net.weight.value())));
    const Tensor twice = net.weight.raw().grad();
    int64_t wrong = 0;
    for (int64_t i = 0; i < once.numel(); ++i)
      wrong += std::abs(twice.ptr<float>()[i] - 2 * once.ptr<float>()[i]) >
               1e-5f * (1 + std::abs(twice.ptr<float>()[i]));
    CHECK(wrong == 0);
  });
}

TEST_CASE("NaN and infinity are errors that name the parameter, in training and evaluation") {
  for (const Row& row : kRows) {
    INFO(row.rule);
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      Net net(row.rule, {4, 5}, Content::Random);
      net.weight.raw().mutable_data().mut<float>()[7] = bad;
      CHECK_THROWS_WITH_AS(net.value(Mode::Eval), doctest::Contains("in weight_"), DivergedError);
    }
  }
}

TEST_CASE("the size of codes is their widths times their elements") {
  for_each_net([](const Row&, Net& net, Content) {
    const Codes codes = net.quantizer->encode(net.weight.raw().data());
    double bits = 0;
    const int64_t group = codes.group > 0 ? codes.group : net.weight.numel();
    for (int64_t i = 0; i < net.weight.numel(); ++i)
      bits += codes.bits.ptr<uint8_t>()[codes.bits.numel() == 1 ? 0 : i / group];
    const double estimate = net.quantizer->size_in_bits(net.weight.raw()).data().item();
    if (net.quantizer->method() != "diffq") CHECK(estimate == doctest::Approx(bits).epsilon(1e-6));
    if (net.quantizer->method() == "diffq") CHECK(estimate > 0);
  });
}

TEST_CASE(
    "rules: the first match decides, every parameter has a fate, quantizers' own parameters have none") {
  struct Two : Module {
    Two() : Module({.seed = 1}) {}
    Parameter conv{*this, "conv", {.shape = {4, 3}, .init = init::normal(1)}};
    Parameter fc{*this, "fc", {.shape = {4, 5}, .init = init::normal(1)}};
    Parameter bias{*this, "bias", {.shape = {4}, .kind = Kind::Bias, .init = init::normal(1)}};
    Parameter head{*this, "head", {.shape = {4, 5}, .init = init::normal(1)}};
  };
  Two model;
  model.head.tie(model.fc);
  const FieldPath where{"test", "quant"};
  const auto attach = [&](const char* rules) {
    return attach_quantizers(model, parse_json(std::string(R"({"rules": )") + rules + "}", "test"), where);
  };
  CHECK_THROWS_WITH_AS(attach(R"([{"min_numel": 20, "type": "lsq"}, {"match": "f*", "type": "minmax"}])"),
                       "test:1: quant.rules[1]: decides about no parameter that an earlier rule left: match "
                       "'f*', kind 'weight', "
                       "min_numel 0",
                       ConfigError);
  Two fresh;
  fresh.head.tie(fresh.fc);
  const std::vector<AttachRow> table = attach_quantizers(
      fresh,
      parse_json(R"({"rules": [{"match": "conv", "type": "none"}, {"type": "lsq", "bits": 3}]})", "test"),
      where);
  REQUIRE(table.size() == 3);
  CHECK(table[0].method == "none");
  CHECK(table[0].why == "quant.rules[0]");
  CHECK(table[1].method == "lsq");
  CHECK(table[1].options.find("bits")->as_int() == 3);
  CHECK(table[2].why == "no rule matches");
  CHECK(quantizers_of(fresh).size() == 1);
  CHECK(fresh.head.value().same(fresh.fc.value()));
  CHECK(fresh.find_parameter("fc_lsq.step_size")->role() == Role::Scale);
}

TEST_SUITE_END();

}  // namespace lathe
