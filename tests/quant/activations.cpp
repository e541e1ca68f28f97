// Activation quantizers: their ranges, their grids, and the packed file that carries them.

#include <cmath>
#include <set>

#include <doctest/doctest.h>

#include "autograd/ops/reduce.h"
#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "layers/linear.h"
#include "quant/activation.h"
#include "quant/attach.h"
#include "tests/support/scratch.h"
#include "tests/tools/bad_inputs.h"
#include "tests/tools/cli.h"

namespace lathe::tests {
namespace {

struct Net : Module {
  Linear fc;
  explicit Net(const std::string& rule) : Module({.seed = 5}), fc(*this, "fc", 3, 2) {
    attach_quantizers(*this, parse_json(R"({"activations": [)" + rule + "]}", "test"), {"test", "quant"});
  }
  ActivationQuantizer& quantizer() { return *activation_quantizers_of(*this).at(0); }
  Tensor pass(const std::vector<float>& values, Mode mode) {
    run().mode = mode;
    ++run().forward;
    const Tensor x = Tensor::from(values, {static_cast<int64_t>(values.size()) / 3, 3});
    return fc.input()(Var(x)).data();
  }
};

const char* const kRules[] = {
    R"({"type": "lsq", "bits": 2})",      R"({"type": "lsq", "bits": 3, "signed": true})",
    R"({"type": "lsq_plus", "bits": 3})", R"({"type": "minmax", "bits": 3})",
    R"({"type": "pact", "bits": 3})",
};

std::vector<float> ramp(float lo, float hi) {
  std::vector<float> values;
  for (int i = 0; i < 300; ++i) values.push_back(lo + (hi - lo) * static_cast<float>(i) / 299);
  return values;
}

}  // namespace

TEST_SUITE_BEGIN("activations");

TEST_CASE("a quantized activation takes at most 2^bits values, the same in training and evaluation") {
  for (const char* rule : kRules) {
    CAPTURE(rule);
    Net net(rule);
    const Tensor trained = net.pass(ramp(-1, 3), Mode::Train), evaluated = net.pass(ramp(-1, 3), Mode::Eval);
    const auto a = trained.span<float>(), b = evaluated.span<float>();
    CHECK(std::equal(a.begin(), a.end(), b.begin()));
    const std::set<float> values(a.begin(), a.end());
    CHECK(values.size() > 1);
    CHECK(values.size() <= size_t{1} << net.quantizer().bits());
  }
}

TEST_CASE("evaluation does not move a range; without one it is an error") {
  for (const char* rule : kRules) {
    CAPTURE(rule);
    Net net(rule);
    CHECK_THROWS_AS(net.pass(ramp(0, 1), Mode::Eval), ConfigError);
    net.pass(ramp(0, 1), Mode::Train);
    const Tensor before = net.pass(ramp(0, 1), Mode::Eval).clone();
    net.pass(ramp(0, 100), Mode::Eval);
    const auto a = before.span<float>();
    const Tensor after = net.pass(ramp(0, 1), Mode::Eval);
    CHECK(std::equal(a.begin(), a.end(), after.ptr<float>()));
  }
}

TEST_CASE("minmax follows the batches' ranges, which hold 0") {
  Net net(R"({"type": "minmax", "bits": 8, "momentum": 0.75})");
  net.pass(ramp(1, 2), Mode::Train);
  net.pass(ramp(-4, 6), Mode::Train);
  const std::vector<Buffer*> buffers = net.quantizer().buffers();
  REQUIRE(buffers.size() == 3);
  CHECK(buffers[1]->path() == "fc.input.minmax.running_min");
  CHECK(buffers[1]->data().item() == doctest::Approx(0.75 * 0 + 0.25 * -4));
  CHECK(buffers[2]->data().item() == doctest::Approx(0.75 * 2 + 0.25 * 6));
}

TEST_CASE("LSQ starts from the first batch and learns; LSQ+ starts from its range") {
  Net lsq(R"({"type": "lsq", "bits": 4})");
  lsq.pass(ramp(0, 2), Mode::Train);
  const Parameter& step = *lsq.quantizer().parameters().at(0);
  CHECK(step.path() == "fc.input.lsq.step_size");
  CHECK(step.role() == Role::Scale);
  CHECK(step.raw().data().item() == doctest::Approx(2 * 1.0 / std::sqrt(15.0)));
  lsq.pass(ramp(0, 200), Mode::Train);
  CHECK(step.raw().data().item() == doctest::Approx(2 * 1.0 / std::sqrt(15.0)));

  Net plus(R"({"type": "lsq_plus", "bits": 4})");
  plus.pass(ramp(-1, 2), Mode::Train);
  CHECK(plus.quantizer().parameters().at(0)->raw().data().item() == doctest::Approx(3.0 / 15));
  CHECK(plus.quantizer().parameters().at(1)->raw().data().item() == doctest::Approx(-1));
}

TEST_CASE("gradients reach the learned grids and the input") {
  for (const char* rule : kRules) {
    CAPTURE(rule);
    Net net(rule);
    net.run().mode = Mode::Train;
    const Var x(Tensor::from(ramp(-1, 12), {100, 3}), true);
    backward(sum(net.fc.input()(x)));
    CHECK(x.grad().defined());
    for (const Parameter* parameter : net.quantizer().parameters()) CHECK(parameter->raw().grad().defined());
  }
}

TEST_CASE("a run with activation quantizers evaluates as its packed file, for any number of threads") {
  for (const auto& method : activation_registry().entries()) {
    CAPTURE(method.name);
    const ScratchFolder scratch;
    experiment(R"("train": {)", R"("quant": {"rules": [{"type": "lsq"}], "activations": [{"type": ")" +
                                    method.name + R"(", "bits": 4}]}, "train": {)")(scratch.path());
    const auto lathe = [&](std::vector<std::string> arguments) {
      const Finished finished = run_lathe({.arguments = std::move(arguments), .folder = scratch.path()});
      CHECK_MESSAGE(finished.code == 0, finished.err);
      return finished.out;
    };
    lathe({"train", "exp.json", "--out", "run", "--quiet"});
    for (const char* threads : {"1", "2", "3"})
      CHECK(lathe({"verify", "run", "--threads", threads}).starts_with("identical: "));
    const Value info = parse_json(lathe({"info", "run/model.lathe", "--json"}), "info");
    for (const Value& layer : info.find("stored")->find("layers")->items())
      CHECK(layer.find("activation_bits")->as_real() == 4);
    // Another run may start from the weights of this one, its grids aside.
    lathe({"train", "exp.json", "--out", "next", "--quiet", "--init", "run", "--set", "quant=null"});
  }
}

TEST_CASE("an export that would lose the grids of activations is refused") {
  const ScratchFolder scratch;
  experiment(R"("train": {)",
             R"("quant": {"activations": [{"type": "lsq", "bits": 4}]}, "train": {)")(scratch.path());
  const auto lathe = [&](std::vector<std::string> arguments) {
    return run_lathe({.arguments = std::move(arguments), .folder = scratch.path()});
  };
  REQUIRE(lathe({"train", "exp.json", "--out", "run", "--quiet"}).code == 0);
  for (const char* from : {"run", "run/model.lathe"}) {
    const Finished refused = lathe({"export", from, "-o", "x.safetensors"});
    CHECK(refused.code == 7);
    CHECK(refused.err.find(concat(from, ": its activations are quantized")) != std::string::npos);
  }
  CHECK(lathe({"unpack", "run/model.lathe", "-o", "x.safetensors"}).code == 0);
}

TEST_CASE("post-training ranges come from training data, and the file carries them") {
  const ScratchFolder scratch;
  trained()(scratch.path());
  write_atomic(scratch / "q.json", R"({"rules": [{"type": "minmax", "bits": 8}],
                                       "activations": [{"type": "minmax", "bits": 8}]})");
  const auto lathe = [&](std::vector<std::string> arguments) {
    return run_lathe({.arguments = std::move(arguments), .folder = scratch.path()});
  };
  REQUIRE(lathe({"pack", "run", "-o", "q.lathe", "--quant", "q.json"}).code == 0);
  CHECK(lathe({"verify", "run", "--against", "q.lathe", "--quant", "q.json"}).code == 0);
  CHECK(lathe({"eval", "q.lathe"}).code == 0);
}

TEST_SUITE_END();

}  // namespace lathe::tests
