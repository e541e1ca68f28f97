// What the laws do not say of single methods.

#include <algorithm>
#include <cmath>
#include <cstring>

#include <doctest/doctest.h>

#include "autograd/ops/shape.h"
#include "core/error.h"
#include "core/half.h"
#include "layers/init.h"
#include "quant/ops/ops.h"
#include "quant/pack/packed_model.h"
#include "tests/quant/one_parameter.h"

namespace lathe {
namespace {

struct Net : tests::OneParameter {
  Net(const std::string& rule, const Shape& shape, Axes axes = Axes::Plain, bool forward = true)
      : OneParameter(rule, {.shape = shape, .axes = axes, .forward = forward}) {}
};

double squared_error(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double d = static_cast<double>(a.ptr<float>()[i]) - static_cast<double>(b.ptr<float>()[i]);
    sum += d * d;
  }
  return sum;
}

Tensor normal_weights(const Shape& shape) {
  Tensor w = Tensor::empty(shape);
  init::normal(0.3)(w, Philox{11, 1, 0});
  return w;
}

}  // namespace

TEST_SUITE_BEGIN("quant methods");

TEST_CASE("half: every half is its own rounding, and what lies between goes to the nearest, ties to even") {
  int64_t wrong = 0;
  for (uint32_t h = 0; h < 0x7C00u; ++h) {
    const uint16_t half = static_cast<uint16_t>(h), next = static_cast<uint16_t>(h + 1);
    const float here = half_to_float(half);
    wrong += float_to_half(here) != half;
    wrong += float_to_half(-here) != (half | 0x8000u);
    if (next == 0x7C00u) break;
    const float between = (here + half_to_float(next)) / 2;
    wrong += float_to_half(between) != (h % 2 == 0 ? half : next);
    wrong += float_to_half(std::nextafter(between, 0.0f)) != half;
    wrong += float_to_half(std::nextafter(between, 1e9f)) != next;
  }
  CHECK(wrong == 0);
  CHECK(float_to_half(65519.9f) == 0x7BFF);
  CHECK(float_to_half(65520.0f) == 0x7C00);
}

TEST_CASE("float16: a magnitude beyond half precision is an error that names the parameter") {
  Net net(R"({"type": "float16"})", {2, 2});
  net.put("weight", {1, -65519, 0.1f, 65504});
  CHECK(net.value(Mode::Eval).ptr<float>()[1] == -65504);
  net.put("weight", {1, -65520, 0.1f, 0});
  CHECK_THROWS_WITH_AS(net.value(Mode::Eval), doctest::Contains("in weight_float16"), DivergedError);
  CHECK_THROWS_WITH_AS(net.value(Mode::Train), doctest::Contains("whose largest is 65504"), DivergedError);
}

TEST_CASE("a range wider than any number is an error that names the parameter, where its width is used") {
  for (const char* rule : {R"({"type": "minmax"})", R"({"type": "minmax", "granularity": "channel"})",
                           R"({"type": "minmax", "range": "mse"})", R"({"type": "diffq"})",
                           R"({"type": "quant_noise"})", R"({"type": "quant_noise", "block": 2})"}) {
    CAPTURE(rule);
    Net net(rule, {2, 4});
    net.put("weight", {3e38, -3e38, 1, 2, 0.5, 0.25, -1, 3});
    const auto names_it = doctest::Contains(concat("overflows in weight_", net.quantizer->method()).c_str());
    const auto look = [&] {  // Quant-Noise keeps its levels
      net.quantizer->initialise();
      return net.value(Mode::Eval);
    };
    CHECK_THROWS_WITH_AS(look(), names_it, DivergedError);
    if (std::string(rule).find("block") == std::string::npos)
      CHECK_THROWS_AS(net.value(Mode::Train), DivergedError);
  }
  for (const char* rule : {R"({"type": "absmax"})", R"({"type": "lsq"})",
                           R"({"type": "minmax", "range": "percentile", "percentile": 75})"}) {
    CAPTURE(rule);
    Net net(rule, {2, 4});
    net.put("weight", {3e38, -3e38, 1, 2, 0.5, 0.25, -1, 3});
    net.quantizer->initialise();
    CHECK_NOTHROW(check_codes(net.quantizer->encode(net.weight.raw().data()), "test"));
  }
}

TEST_CASE("range search: least error is never worse than [min, max], and the best of its candidates") {
  const Tensor w = normal_weights({4, 300});
  for (const int bits : {2, 3, 4, 8}) {
    for (const int64_t group : {int64_t{0}, int64_t{300}, int64_t{7}}) {
      CAPTURE(bits);
      CAPTURE(group);
      const RangeSearch search{.kind = RangeSearch::Kind::LeastError};
      const auto error = [&](const Var& y) { return squared_error(y.data(), w); };
      CHECK(error(minmax_quantize(Var(w), bits, group, search)) <=
            error(minmax_quantize(Var(w), bits, group)));
      const double found = error(absmax_quantize(Var(w), bits, group, false, search));
      CHECK(found <= error(absmax_quantize(Var(w), bits, group)));
      if (group != 0) continue;
      const GroupRange full = group_range(w, 0, "test");
      const double largest = std::max(full.hi.item(), -full.lo.item());
      double least = 1e9;
      for (int k = 1; k <= 100; ++k) {
        const double step = largest * k / 100 / ((1 << (bits - 1)) - 1);
        double sum = 0;
        for (const float x : w.span<float>()) {
          const double codes = (1 << (bits - 1)) - 1, q = std::clamp(std::rint(x / step), -codes, codes);
          sum += (step * q - x) * (step * q - x);
        }
        least = std::min(least, sum);
      }
      CHECK(found == doctest::Approx(least).epsilon(1e-4));
    }
  }
}

TEST_CASE("range search: percentiles clip outliers, a tensor of one value but for them keeps its range") {
  std::vector<float> values(1000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) / 1000;
  values[0] = -50;
  values[999] = 80;
  Tensor w = Tensor::empty({1000});
  std::copy(values.begin(), values.end(), w.mut<float>());
  const RangeSearch search{RangeSearch::Kind::Percentile, 99};
  const GroupRange range = find_range(w, 4, false, 0, search, "test");
  CHECK(range.lo.item() == doctest::Approx(0.00999));
  CHECK(range.hi.item() == doctest::Approx(0.98901));
  const GroupRange both = find_range(w, 4, true, 0, search, "test");
  CHECK(both.hi.item() == -both.lo.item());
  Tensor rare = Tensor::zeros({5000});
  rare.mut<float>()[17] = 3;
  CHECK(find_range(rare, 4, false, 0, search, "test").hi.item() == 3);
  CHECK(find_range(rare, 4, true, 0, search, "test").hi.item() == 3);
  CHECK_THROWS_AS(find_range(w, 4, false, 0, {RangeSearch::Kind::Percentile, 50}, "test"), ConfigError);
  CHECK_THROWS_AS(absmax_quantize(Var(w), 4, 0, true, search), ConfigError);
}

TEST_CASE("lsq_plus begins with a step that spans three deviations, each group its own") {
  Net net(R"({"type": "lsq_plus", "bits": 3, "granularity": "group", "group": 3})", {4});
  net.put("weight", {1, 2, 6, -4});
  net.quantizer->initialise();
  const float* step = net.find_parameter("weight_lsq_plus.step_size")->raw().data().ptr<float>();
  CHECK(step[0] == doctest::Approx((3 + 3 * std::sqrt(14.0 / 3)) / 4));
  CHECK(step[1] == doctest::Approx(1));
}

TEST_CASE("quant_noise: levels stay for update_step steps, and are state that another run goes on with") {
  const std::string rule = R"({"type": "quant_noise", "bits": 3, "update_step": 10})";
  Net net(rule, {40}), other(rule, {40});
  const auto step = [](Net& of, uint32_t number) {
    of.run().step = number;
    return of.value(Mode::Train);
  };
  step(net, 0);
  Tensor grown = normal_weights({40});
  for (int64_t i = 0; i < grown.numel(); ++i) grown.mut<float>()[i] *= 3;
  net.weight.raw().set_data(grown);
  const Tensor clipped = step(net, 9);
  const auto largest = [](const Tensor& w) {
    float most = 0;
    for (const float x : w.span<float>()) most = std::max(most, std::abs(x));
    return most;
  };
  CHECK(largest(clipped) < largest(grown));
  CHECK(largest(net.value(Mode::Eval)) <= largest(clipped));
  other.weight.raw().set_data(grown);
  for (size_t i = 0; i < net.buffers().size(); ++i) other.buffers()[i]->data() = net.buffers()[i]->data();
  CHECK(same_bits(step(other, 9), clipped));
  CHECK(same_bits(step(other, 10), step(net, 10)));
  CHECK(largest(net.value(Mode::Eval)) > 0.9f * largest(grown));
  CHECK(net.buffers().size() == 2);
  CHECK(model_buffers(net).empty());
}

TEST_CASE("quant_noise: where training stays float, levels follow the weights all the same") {
  Net net(R"({"type": "quant_noise", "bits": 3, "update_step": 10})", {40}, Axes::Plain, false);
  Tensor grown = normal_weights({40});
  for (int64_t i = 0; i < grown.numel(); ++i) grown.mut<float>()[i] *= 3;
  net.weight.raw().set_data(grown);
  const double before = squared_error(net.value(Mode::Eval), grown);
  net.quantizer->before_update({9, 100});
  CHECK(squared_error(net.value(Mode::Eval), grown) == before);
  net.quantizer->before_update({10, 100});
  CHECK(squared_error(net.value(Mode::Eval), grown) < before);
}

TEST_CASE("quant_noise: chosen elements are evaluation's, the others stay; blocks are dropped whole") {
  Net scalar(R"({"type": "quant_noise", "p": 0.5, "bits": 2})", {2000});
  const Tensor noisy = scalar.value(Mode::Train), rounded = scalar.value(Mode::Eval),
               w = scalar.weight.raw().data();
  int64_t chosen = 0, neither = 0;
  for (int64_t i = 0; i < w.numel(); ++i) {
    const float value = noisy.ptr<float>()[i];
    chosen += value == rounded.ptr<float>()[i];
    neither += value != rounded.ptr<float>()[i] && value != w.ptr<float>()[i];
  }
  CHECK(neither <= 2);  // the largest and the least are clipped to a level of their range
  CHECK(chosen > 900);
  CHECK(chosen < 1100);
  Net blocks(R"({"type": "quant_noise", "p": 0.25, "block": 4})", {30, 3, 3, 20}, Axes::ConvWeight);
  const Tensor kernels = blocks.value(Mode::Train);
  int64_t dropped = 0, torn = 0;
  for (int64_t o = 0; o < 30; ++o) {
    for (int64_t c = 0; c < 20; ++c) {
      int zeros = 0;
      for (int64_t tap = 0; tap < 9; ++tap) zeros += kernels.ptr<float>()[(o * 9 + tap) * 20 + c] == 0;
      dropped += zeros == 9;
      torn += zeros != 0 && zeros != 9;
    }
  }
  CHECK(torn == 0);
  CHECK(dropped > 100);
  CHECK(dropped < 200);
  CHECK_THROWS_AS(Net(R"({"type": "quant_noise", "p": 1, "block": 4})", {30, 20}), ConfigError);
}

TEST_CASE("order pytorch is storage order on the tensor in PyTorch's layout, in every method, and packs") {
  const NoGrad no_grad;
  for (const char* rest :
       {R"("minmax", "bits": 3, "granularity": "group")", R"("absmax", "bits": 3, "granularity": "group")",
        R"("lsq", "bits": 3, "granularity": "group")", R"("lsq_plus", "bits": 3, "granularity": "group")",
        R"("quant_noise", "bits": 3, "granularity": "group")", R"("diffq")"}) {
    for (const int group : {1, 4, 7}) {
      const std::string rule = concat(R"({"type": )", rest, R"(, "group": )", group);
      INFO(rule);
      Net ours(rule + R"(, "order": "pytorch"})", {5, 3, 2, 6}, Axes::ConvWeight);
      Net theirs(rule + "}", {5, 6, 3, 2});
      const auto to_theirs = [](const Tensor& w) { return permute(Var(w), {0, 3, 1, 2}).data(); };
      theirs.weight.raw().set_data(to_theirs(ours.weight.raw().data()));
      theirs.quantizer->initialise();
      for (const Mode mode : {Mode::Train, Mode::Eval})
        CHECK(same_bits(to_theirs(ours.value(mode)), theirs.value(mode)));
      const Codes codes = ours.quantizer->encode(ours.weight.raw().data());
      CHECK(codes.pytorch_order);
      PackedModel packed{.header = Value::object(), .tensors = {}};
      packed.tensors.push_back({"weight", codes});
      const PackedModel read = parse_packed(packed_bytes(packed), "test");
      CHECK(same_bits(decode(std::get<Codes>(read.tensors.at(0).content)), ours.value(Mode::Eval)));
    }
  }
  Net plain(R"({"type": "diffq", "order": "pytorch"})", {5, 3, 2, 6});
  CHECK(!plain.quantizer->encode(plain.weight.raw().data()).pytorch_order);
}

TEST_CASE("dq: an update stays within the bounds, and step and range say the bits") {
  for (const char* form : {"power_of_two", "u3"}) {
    CAPTURE(form);
    Net net(concat(R"({"type": "dq", "max_bits": 6, "form": ")", form, R"("})"), {50});
    Parameter* step = net.find_parameter("weight_dq.step");
    Parameter* range = net.find_parameter("weight_dq.range");
    const auto put = [&](double s, double r) {
      step->raw().set_data(Tensor::full({1}, s));
      range->raw().set_data(Tensor::full({1}, r));
      net.quantizer->after_update();
      return static_cast<int>(net.quantizer->encode(net.weight.raw().data()).bits.ptr<uint8_t>()[0]);
    };
    CHECK(put(-3, 0.5) == 6);
    CHECK(step->raw().data().item() == 0x1p-8);
    CHECK(range->raw().data().item() == 31 * 0x1p-8);
    CHECK(put(9, 200) == 6);
    CHECK(step->raw().data().item() == 1);
    CHECK(range->raw().data().item() == 31);
    CHECK(put(0.25, 0.2) == 2);
    CHECK(put(0.125, 0.9) == 4);
    const double estimate = net.quantizer->size_in_bits(net.weight.raw()).data().item();
    CHECK(estimate == 4 * 50);
  }
  CHECK_THROWS_AS(Net(R"({"type": "dq", "bits": 9})", {50}), ConfigError);
}

TEST_CASE("dq: gradients of step and range are at most a step, unless that is not wanted") {
  for (const bool clip : {true, false}) {
    Net net(concat(R"({"type": "dq", "clip_grad": )", clip ? "true" : "false", "}"), {50});
    Parameter* range = net.find_parameter("weight_dq.range");
    const double step = net.find_parameter("weight_dq.step")->raw().data().item();
    range->raw().grad() = Tensor::full({1}, -7);
    net.quantizer->before_update({0, 1});
    CHECK(range->raw().grad().item() == (clip ? -step : -7));
  }
}

TEST_SUITE_END();

}  // namespace lathe
