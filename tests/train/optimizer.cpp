#include "train/optim/optimizer.h"

#include <cmath>

#include <doctest/doctest.h>

#include "core/allocator.h"
#include "core/json.h"
#include "core/kernels/optim.h"
#include "core/parallel.h"
#include "layers/init.h"
#include "tests/support/toy_model.h"

TEST_SUITE_BEGIN("train");

namespace lathe {
namespace {

using tests::ToyParameters;

std::unique_ptr<Optimizer> make(ToyParameters& model, const char* section) {
  return optimizer_registry().build(parse_json(section, "test"), {"test", "optimizer"}, model.parameters());
}

void set(Parameter& parameter, double value) {
  parameter.raw().set_data(Tensor::full({2}, value, DType::F64));
}
void give(Parameter& parameter, double gradient) {
  parameter.raw().grad() = Tensor::full({2}, gradient, DType::F64);
}
double value(const Parameter& parameter) {
  return parameter.raw().data().ptr<double>()[1];
}

void step(Optimizer& optimizer, std::optional<double> clip = {}) {
  std::vector<double> rates;
  for (const ParameterGroup& group : optimizer.groups()) rates.push_back(group.lr);
  optimizer.step({rates, clip});
}

}  // namespace

TEST_CASE("nag is Nesterov's momentum with decoupled decay, and follows a changed rate") {
  ToyParameters model;
  auto nag = make(model, R"({"type": "nag", "lr": 1, "momentum": 0.5, "weight_decay": 0.1})");
  // fairseq's own form: p *= 1 - lr wd; p += m^2 r b - (1 + m) lr g; b = m r b - lr g.
  double p = 0, b = 0, before = 1;
  for (const double lr : {1.0, 0.25, 0.5}) {
    give(model.weight, 3);
    const std::vector<double> rates(nag->groups().size(), lr);
    nag->step({rates, {}});
    p = p * (1 - lr * 0.1) + 0.25 * (lr / before) * b - 1.5 * lr * 3;
    b = 0.5 * (lr / before) * b - lr * 3;
    before = lr;
    CHECK(value(model.weight) == doctest::Approx(p).epsilon(1e-14));
  }
}

TEST_CASE("sgd: two steps by hand") {
  ToyParameters model;
  set(model.weight, 1);
  auto plain = make(model, R"({"type": "sgd", "lr": 0.5, "weight_decay": 0.1})");
  give(model.weight, 2);
  step(*plain);
  CHECK(value(model.weight) == doctest::Approx(1 - 0.5 * (2 + 0.1)).epsilon(1e-15));
  CHECK_FALSE(model.weight.raw().grad().defined());

  set(model.weight, 1);
  auto heavy = make(model, R"({"type": "sgd", "lr": 0.5, "momentum": 0.9})");
  for (int i = 0; i < 2; ++i) {
    give(model.weight, 2);
    step(*heavy);
  }
  CHECK(value(model.weight) == doctest::Approx(1 - 0.5 * 2 - 0.5 * (0.9 * 2 + 2)).epsilon(1e-15));

  set(model.weight, 1);
  auto nesterov = make(model, R"({"type": "sgd", "lr": 0.5, "momentum": 0.9, "nesterov": true})");
  give(model.weight, 2);
  step(*nesterov);
  CHECK(value(model.weight) == doctest::Approx(1 - 0.5 * (2 + 0.9 * 2)).epsilon(1e-15));
}

TEST_CASE("adam and adamw: the first step moves by lr, decay aside") {
  ToyParameters model;
  set(model.weight, 1);
  auto adam = make(model, R"({"type": "adam", "lr": 0.1, "eps": 0.5})");
  give(model.weight, -3);
  step(*adam);
  CHECK(value(model.weight) == doctest::Approx(1 + 0.1 * 3 / 3.5).epsilon(1e-14));

  set(model.weight, 1);
  auto adamw = make(model, R"({"type": "adamw", "lr": 0.1, "weight_decay": 0.2, "eps": 0})");
  give(model.weight, 7);
  step(*adamw);
  CHECK(value(model.weight) == doctest::Approx(0.98 - 0.1).epsilon(1e-14));

  set(model.weight, 1);
  auto l2 = make(model, R"({"type": "adam", "lr": 0.1, "weight_decay": 4, "eps": 0})");
  give(model.weight, -1);
  step(*l2);  // g + 4 p = 3, so down by lr
  CHECK(value(model.weight) == doctest::Approx(0.9).epsilon(1e-14));
}

TEST_CASE("rmsprop: the first step by hand, in PyTorch's form and in TensorFlow's") {
  ToyParameters model;
  set(model.weight, 1);
  auto torch = make(model, R"({"type": "rmsprop", "lr": 0.1, "alpha": 0.75, "eps": 0.5})");
  give(model.weight, 2);
  step(*torch);  // a mean square of 1
  CHECK(value(model.weight) == doctest::Approx(1 - 0.1 * 2 / 1.5).epsilon(1e-14));

  set(model.weight, 1);
  auto tf = make(model, R"({"type": "rmsprop_tf", "lr": 0.1, "alpha": 0.75, "eps": 0.5, "momentum": 0.5})");
  give(model.weight, 2);
  step(*tf);  // 0.75 of the 1 it starts from and 0.25 of 4
  const double moved = 0.1 * 2 / std::sqrt(1.75 + 0.5);
  CHECK(value(model.weight) == doctest::Approx(1 - moved).epsilon(1e-14));
  give(model.weight, 0);
  step(*tf);
  CHECK(value(model.weight) == doctest::Approx(1 - 1.5 * moved).epsilon(1e-14));

  const std::vector<NamedTensor> state = tf->state();
  auto again =
      make(model, R"({"type": "rmsprop_tf", "lr": 0.1, "alpha": 0.75, "eps": 0.5, "momentum": 0.5})");
  CHECK(again->state()[0].tensor.to(DType::F64).ptr<double>()[0] == 1);
  again->restore(state);
  CHECK(again->state()[0].tensor.ptr<double>()[0] == state[0].tensor.ptr<double>()[0]);
}

TEST_CASE("a parameter without a gradient stays, and adam counts its own updates") {
  ToyParameters model;
  auto adam = make(model, R"({"type": "adam", "lr": 0.1, "eps": 0})");
  set(model.weight, 1);
  set(model.bias, 1);
  give(model.weight, 1);
  step(*adam);
  CHECK(value(model.bias) == 1);
  give(model.bias, 1);
  step(*adam);
  CHECK(value(model.bias) == doctest::Approx(0.9).epsilon(1e-14));  // its first update, not its second
}

TEST_CASE("groups inherit from a section of their own type only") {
  ToyParameters model;
  const Value section =
      parse_json(R"({"type": "sgd", "lr": 1, "momentum": 0.5, "weight_decay": 0.25, "groups": [
    {"kind": "bias", "lr": 2},
    {"role": "bits", "type": "adam", "lr": 4, "schedule": {"type": "constant"}, "clip_norm": 0}]})",
                 "test");
  const FieldPath where{"test", "optimizer"};
  const Value resolved = optimizer_registry().resolve(section, where);
  const std::vector<Value>& groups = resolved.find("groups")->items();
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].find("momentum")->as_real() == 0.5);
  CHECK(groups[0].find("lr")->as_real() == 2);
  CHECK(groups[0].find("weight_decay")->as_real() == 0.25);
  CHECK(groups[1].find("momentum") == nullptr);
  CHECK(groups[1].find("weight_decay")->as_real() == 0);
  CHECK(groups[1].find("schedule")->find("warmup_steps") != nullptr);
  CHECK(optimizer_registry().resolve(resolved, where) == resolved);

  const auto optimizer = optimizer_registry().build(resolved, where, model.parameters());
  REQUIRE(optimizer->groups().size() == 3);
  CHECK(optimizer->groups()[0].parameters == std::vector<Parameter*>{&model.bias});
  CHECK(optimizer->groups()[1].parameters == std::vector<Parameter*>{&model.bits});
  CHECK(optimizer->groups()[2].parameters == std::vector<Parameter*>{&model.weight});
  CHECK(optimizer->groups()[1].schedule != nullptr);
  CHECK(optimizer->groups()[1].clip_norm == 0);
}

TEST_CASE("sections that mean nothing are refused with their place") {
  ToyParameters model;
  const auto refused = [&](const char* section, const char* part) {
    try {
      make(model, section);
      FAIL("accepted: ", section);
    } catch (const ConfigError& error) {
      CHECK_MESSAGE(std::string(error.what()).find(part) != std::string::npos, error.what());
    }
  };
  refused(R"({"type": "sgd", "groups": [{"match": "nothing*"}]})", "optimizer.groups[0]");
  refused(R"({"type": "sgd", "groups": [{"match": "*"}, {"kind": "bias"}]})", "optimizer.groups[1]");
  refused(R"({"type": "sgd", "momentun": 0.9})", "momentum");
  refused(R"({"type": "sgd", "groups": [{"kind": "bias", "lrs": 1}]})", "'lr'");
  refused(R"({"type": "sgd", "groups": [{"kind": "bais"}]})", "kind");
  refused(R"({"type": "sgd", "groups": [{"kind": "bias", "type": "adamv"}]})", "adam");
  refused(R"({"type": "sgd", "groups": {"kind": "bias"}})", "list");
  refused(R"({"type": "sgd", "nesterov": true})", "momentum");
  refused(R"({"type": "adam", "betas": [0.9]})", "two numbers");
  refused(R"({"type": "adam", "betas": [0.9, 1]})", "betas");
}

TEST_CASE("clipping covers the groups without a limit of their own") {
  ToyParameters model;
  auto optimizer = make(model, R"({"type": "sgd", "lr": 1, "groups": [
    {"kind": "bias", "clip_norm": 0}, {"role": "bits", "clip_norm": 1}]})");
  for (Parameter* parameter : model.parameters()) set(*parameter, 0);
  give(model.weight, 3);
  give(model.bias, 30);
  give(model.bits, 300);
  step(*optimizer, 0.5);
  const double root = std::sqrt(2.0);  // two equal elements
  CHECK(value(model.weight) == doctest::Approx(-0.5 / root).epsilon(1e-6));
  CHECK(value(model.bias) == -30);
  CHECK(value(model.bits) == doctest::Approx(-1 / root).epsilon(1e-6));
}

TEST_CASE("clip_grad_norm: small gradients stay, the norm is over all tensors") {
  std::vector<Tensor> gradients = {Tensor::full({1}, 3, DType::F64), Tensor::full({1}, 4, DType::F64)};
  CHECK(clip_grad_norm(gradients, 10) == doctest::Approx(5).epsilon(1e-15));
  CHECK(gradients[0].item() == 3);
  CHECK(clip_grad_norm(gradients, 1) == doctest::Approx(5).epsilon(1e-15));
  CHECK(gradients[1].item() == doctest::Approx(4 / (5 + 1e-6)).epsilon(1e-15));
}

TEST_CASE("a norm that is not finite updates nothing") {
  ToyParameters model;
  auto optimizer = make(model, R"({"type": "sgd", "lr": 1})");
  set(model.weight, 1);
  set(model.bias, 1);
  give(model.weight, 1);
  give(model.bias, std::nan(""));
  CHECK_THROWS_AS(step(*optimizer, 1.0), DivergedError);
  CHECK(value(model.weight) == 1);
}

TEST_CASE("optimizer state: saved, restored, refused when it does not fit") {
  ToyParameters a, b;
  const char* section = R"({"type": "adamw", "lr": 0.1})";
  auto first = make(a, section), second = make(b, section);
  for (int i = 0; i < 3; ++i) {
    give(a.weight, 1 + i);
    step(*first);
  }
  std::vector<NamedTensor> state = first->state();
  CHECK(state[0].name == "first_moment/weight");
  CHECK(state[2].name == "steps/weight");
  CHECK(state[2].tensor.ptr<int64_t>()[0] == 3);
  second->restore(state);
  b.weight.raw().set_data(a.weight.raw().data().clone());
  give(a.weight, 5);
  give(b.weight, 5);
  step(*first);
  step(*second);
  CHECK(value(a.weight) == value(b.weight));

  state.pop_back();
  CHECK_THROWS_AS(second->restore(state), FormatError);
  state = first->state();
  state[0].tensor = Tensor::zeros({3}, DType::F64);
  CHECK_THROWS_AS(second->restore(state), FormatError);
  state = first->state();
  state.push_back({"first_moment/other", Tensor::zeros({2}, DType::F64)});
  CHECK_THROWS_AS(second->restore(state), FormatError);
}

TEST_CASE("updates do not depend on the number of threads or on how tensors are cut") {
  const auto run = [](int threads) {
    const int before = num_threads();
    set_num_threads(threads);
    std::vector<Tensor> p, g, m, v;
    for (const int64_t n : {3, 100000, 7, 16384, 50001}) {
      Tensor gradient = Tensor::empty({n});
      for (int64_t i = 0; i < n; ++i) gradient.mut<float>()[i] = std::sin(static_cast<float>(i + n));
      p.push_back(Tensor::full({n}, 0.5));
      g.push_back(gradient);
      m.push_back(Tensor::zeros({n}));
      v.push_back(Tensor::zeros({n}));
    }
    const std::vector<int64_t> steps = {1, 2, 3, 4, 5};
    kernels::adam_update(p, g, m, v, steps, {.lr = 0.1, .weight_decay = 0.1});
    kernels::sgd_update(p, g, m, {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.1, .nesterov = true});
    kernels::ema_update(v, p, 0.9);
    Tensor sum = Tensor::zeros({}, DType::F64);
    kernels::sum_of_squares(sum, v);
    set_num_threads(before);
    p.push_back(v[1]);
    p.push_back(sum);
    return p;
  };
  const std::vector<Tensor> one = run(1), three = run(3);
  for (size_t i = 0; i < one.size(); ++i) {
    CHECK(std::equal(one[i].raw(), one[i].raw() + one[i].bytes(), three[i].raw()));
  }
}

TEST_CASE("a step allocates nothing after the first") {
  ToyParameters model;
  auto optimizer = make(model, R"({"type": "adam", "groups": [{"kind": "bias", "lr": 2}]})");
  std::vector<double> rates(optimizer->groups().size(), 0.1);
  uint64_t before = 0;
  for (int i = 0; i < 4; ++i) {
    for (Parameter* parameter : model.parameters()) give(*parameter, 1);
    if (i == 2) before = host_allocator::stats().system_allocations;
    optimizer->step({rates, 1.0});
  }
  CHECK(host_allocator::stats().system_allocations == before);
}

}  // namespace lathe

TEST_SUITE_END();
