// Histories of codes, and frozen weights.

#include <cmath>
#include <cstring>

#include <doctest/doctest.h>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "core/error.h"
#include "tests/quant/one_parameter.h"

namespace lathe {
namespace {

constexpr const char* kTracked =
    R"(, "oscillation_momentum": 0.2, "freeze_threshold": 0.5, "freeze_begin": 0.25)";

struct Net : tests::OneParameter {
  explicit Net(const std::string& rule, bool forward = true)
      : OneParameter(rule, {.shape = {4, 3, 3, 5}, .axes = Axes::ConvWeight, .forward = forward}) {}
  /// Steps in which the first half of the weights but the largest turn to and fro.
  void oscillate(int64_t steps) {
    for (int64_t step = 0; step < steps; ++step) {
      quantizer->before_update({step, steps});
      Tensor w = weight.raw().data().clone();
      for (int64_t i = 0; i < w.numel() / 2; ++i) {
        float& x = w.mut<float>()[i];
        if (std::abs(x) < 0.5f) x = -x;
      }
      weight.raw().set_data(w);
    }
  }
};

std::vector<std::string> tracked_rules() {
  std::vector<std::string> rules;
  for (const char* rule :
       {R"("lsq", "bits": 4)", R"("lsq", "bits": 4, "granularity": "channel", "log_scale": true)",
        R"("lsq_plus", "bits": 3, "granularity": "group", "group": 7, "order": "pytorch")",
        R"("minmax", "bits": 4)", R"("absmax", "bits": 4, "granularity": "channel")",
        R"("absmax", "bits": 4, "grad_through_scale": true)", R"("codeq", "bits": 4, "init_dead_zone": 1)",
        R"("codeq", "learn_bits": true)", R"("dq", "bits": 5)", R"("dq", "form": "u3", "bits": 5)"})
    rules.push_back(concat(R"({"type": )", rule, kTracked, "}"));
  return rules;
}

}  // namespace

TEST_SUITE_BEGIN("quant methods");

TEST_CASE("codes that turn back too often freeze, in training as in evaluation, and their weights rest") {
  for (const std::string& rule : tracked_rules()) {
    INFO(rule);
    Net net(rule);
    CHECK(net.quantizer->oscillations(0.005)->oscillating == 0);
    net.oscillate(4);
    CHECK(net.quantizer->oscillations(0.1)->oscillating > 0.2);
    CHECK(net.quantizer->oscillations(0.1)->frozen == 0);
    net.oscillate(20);
    const double frozen = net.quantizer->oscillations(0.1)->frozen;
    CHECK(frozen > 0.2);
    CHECK(frozen <= 0.5);
    const Codes before = net.quantizer->encode(net.weight.raw().data());
    CHECK_NOTHROW(check_codes(before, "test"));
    CHECK(same_bits(net.value(Mode::Train), decode(before)));
    CHECK(same_bits(net.value(Mode::Eval), decode(before)));
    net.value(Mode::Train);
    backward(sum(square(net.weight.value())));
    const Tensor gradient = net.weight.raw().grad();
    net.oscillate(1);  // the free weights of the first half change, the frozen ones do not
    const Codes after = net.quantizer->encode(net.weight.raw().data());
    int64_t rests = 0, wrong = 0;
    const Tensor history = net.buffers().at(0)->data();
    for (int64_t i = 0; i < gradient.numel(); ++i) {
      const bool held = history.ptr<float>()[6 * i + 4] != 0;
      rests += held;
      wrong += held && gradient.ptr<float>()[i] != 0;
      wrong += held && before.integers.ptr<int32_t>()[i] != after.integers.ptr<int32_t>()[i];
    }
    CHECK(wrong == 0);
    CHECK(static_cast<double>(rests) / 180 == doctest::Approx(frozen));
  }
}

TEST_CASE("another model with the same state goes on with the same bits; the state is not the model's") {
  for (const std::string& rule : tracked_rules()) {
    INFO(rule);
    Net net(rule), other(rule);
    net.oscillate(12);
    for (size_t i = 0; i < net.parameters().size(); ++i)
      other.parameters()[i]->raw().set_data(net.parameters()[i]->raw().data().clone());
    for (size_t i = 0; i < net.buffers().size(); ++i)
      other.buffers()[i]->data() = net.buffers()[i]->data().clone();
    net.oscillate(9);
    other.oscillate(9);
    CHECK(same_bits(net.value(Mode::Train), other.value(Mode::Train)));
    CHECK(same_bits(net.buffers().at(0)->data(), other.buffers().at(0)->data()));
    CHECK(model_buffers(net).empty());
  }
}

TEST_CASE("frozen codes teach what decodes them: the slope of the loss along each own parameter") {
  for (const char* rule :
       {R"("lsq", "bits": 4, "grad_scale": false)",
        R"("lsq", "bits": 4, "granularity": "group", "group": 7, "grad_scale": false)",
        R"("lsq_plus", "bits": 3, "log_scale": true, "grad_scale": false)",
        R"("codeq", "bits": 4, "init_dead_zone": 1)", R"("dq", "form": "u3", "bits": 5)"}) {
    INFO(rule);
    Net net(concat(R"({"type": )", rule, kTracked, "}"));
    Tensor& history = net.buffers().at(0)->data();
    for (int64_t i = 0; i < 180; ++i) {
      history.mut<float>()[6 * i + 4] = 1;
      history.mut<float>()[6 * i + 5] = history.ptr<float>()[6 * i];
    }
    Parameter* own = net.parameters().at(1);
    const auto loss = [&] {
      net.value(Mode::Train);
      return sum(square(add_scalar(net.weight.value(), -0.2)));
    };
    backward(loss());
    CHECK(net.weight.raw().grad().ptr<float>()[3] == 0);
    const Tensor start = own->raw().data(), gradient = own->raw().grad();
    for (int64_t i = 0; i < std::min<int64_t>(3, own->numel()); ++i) {
      const auto at = [&](float h) {
        Tensor moved = start.clone();
        moved.mut<float>()[i] += h;
        own->raw().set_data(moved);
        return loss().data().item();
      };
      constexpr float kStep = 1e-2f;
      const double numeric = (at(kStep) - at(-kStep)) / (2 * static_cast<double>(kStep));
      CHECK(gradient.ptr<float>()[i] == doctest::Approx(numeric).epsilon(0.01));
      own->raw().set_data(start);
    }
  }
}

TEST_CASE("freezing wants a history, and a training forward that rounds") {
  CHECK_THROWS_WITH_AS(Net(R"({"type": "lsq", "freeze_threshold": 0.1})"),
                       doctest::Contains("needs an oscillation_momentum"), ConfigError);
  CHECK_THROWS_WITH_AS(Net(concat(R"({"type": "minmax", "qat": false)", kTracked, "}")),
                       doctest::Contains("multiplies with rounded ones"), ConfigError);
  CHECK_THROWS_AS(Net(concat(R"({"type": "lsq")", kTracked, "}"), false), ConfigError);
  Net tracked(R"({"type": "absmax", "oscillation_momentum": 0.2})", false);
  tracked.oscillate(6);
  CHECK(tracked.quantizer->oscillations(0.1)->oscillating > 0.2);
  Net plain(R"({"type": "lsq"})");
  CHECK(!plain.quantizer->oscillations(0.1));
}

TEST_SUITE_END();

}  // namespace lathe
