// Quantizers on a device: whole training steps of every method, and what evaluation stores.

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "autograd/ops/elementwise.h"
#include "core/error.h"
#include "layers/linear.h"
#include "quant/activation.h"
#include "tests/cuda/device.h"
#include "tests/cuda/quant_values.h"
#include "tests/quant/one_parameter.h"

namespace lathe::tests {
namespace {

struct Rule {
  const char* text;
  bool exact;  ///< training multiplies with the very bits that evaluation does
};

constexpr Rule kRules[] = {
    {R"({"type": "minmax", "bits": 4, "granularity": "channel"})", true},
    {R"({"type": "minmax", "bits": 3, "range": "mse", "granularity": "group", "group": 7})", true},
    {R"({"type": "minmax", "bits": 4, "oscillation_momentum": 0.1})", true},
    {R"({"type": "absmax", "bits": 4, "range": "percentile"})", true},
    {R"({"type": "absmax", "bits": 4, "grad_through_scale": true, "oscillation_momentum": 0.1})", true},
    {R"({"type": "lsq", "bits": 3})", true},
    {R"({"type": "lsq", "bits": 4, "oscillation_momentum": 0.3, "freeze_threshold": 0.01,
         "freeze_begin": 0})",
     true},
    {R"({"type": "lsq_plus", "bits": 4, "granularity": "group", "group": 7})", true},
    {R"({"type": "lsq", "bits": 4, "log_scale": true, "granularity": "channel"})", false},
    {R"({"type": "diffq", "group": 8})", false},
    {R"({"type": "diffq", "group": 0, "noise": "uniform", "param": "noise"})", false},
    {R"({"type": "codeq", "bits": 4, "oscillation_momentum": 0.1})", false},
    {R"({"type": "codeq", "learn_bits": true, "init_bits": 0.3})", false},
    {R"({"type": "quant_noise", "p": 1, "bits": 5, "update_step": 1})", true},
    {R"({"type": "quant_noise", "block": 4, "bits": 4})", false},
    {R"({"type": "dq", "bits": 5, "oscillation_momentum": 0.1})", true},
    {R"({"type": "dq", "form": "u3", "bits": 5})", true},
    {R"({"type": "float16"})", true},
};

OneParameter make(const char* rule, Device device) {
  return OneParameter(rule, {.shape = {6, 5, 7}, .device = device});
}

/// Steps of plain gradient descent on the weight and what its quantizer learns; the gradient of the
/// quantized weight is a function of the step, the size's of its own.
void train(OneParameter& net, int64_t steps) {
  for (int64_t step = 0; step < steps; ++step) {
    net.run().step = static_cast<uint32_t>(step);
    net.value(Mode::Train);
    const Var& y = net.weight.value();
    Tensor dy = some(y.data().numel(), -1, 1, step % 2 == 0 ? "even" : "odd").view(y.shape());
    backward(y, dy.to(y.data().device()));
    const Var size = net.quantizer->size_in_bits(net.weight.raw());
    if (size.requires_grad()) backward(scale(size, 1e-4));
    net.quantizer->before_update({step, steps});
    for (Parameter* parameter : net.parameters()) {
      const Var& raw = parameter->raw();
      if (!raw.grad().defined()) continue;
      const NoGrad no_grad;
      raw.set_data(sub(raw, scale(Var(raw.grad()), 0.02)).data());
      raw.grad() = Tensor();
    }
    net.quantizer->after_update();
  }
}

}  // namespace

TEST_SUITE_BEGIN("gpu quantizers");

TEST_CASE("every method trains as on the CPU") {
  if (!cuda_ready()) return;
  for (const Rule& rule : kRules) {
    const std::string text = rule.text;
    INFO(text);
    OneParameter host = make(rule.text, Device::cpu()), device = make(rule.text, cuda_device());
    train(host, 3);
    train(device, 3);
    for (size_t i = 0; i < host.parameters().size(); ++i) {
      const Parameter& one = *device.parameters()[i];
      INFO(one.path());
      CHECK(one.raw().data().device() == cuda_device());
      CHECK(relative(one.raw().data(), host.parameters()[i]->raw().data()) < 1e-4);
    }
    for (size_t i = 0; i < host.buffers().size(); ++i)
      CHECK(relative(device.buffers()[i]->data(), host.buffers()[i]->data()) < 1e-4);
  }
}

TEST_CASE("evaluation on a device is decode(encode(w)) bit for bit, and training's value where it rounds") {
  if (!cuda_ready()) return;
  for (const Rule& rule : kRules) {
    const std::string text = rule.text;
    INFO(text);
    OneParameter net = make(rule.text, cuda_device());
    train(net, 2);
    const Tensor trained = net.value(Mode::Train), evaluated = net.value(Mode::Eval);
    CHECK(evaluated.device() == cuda_device());
    CHECK(same_bits(evaluated.to(Device::cpu()), decode(net.quantizer->encode(net.weight.raw().data()))));
    if (rule.exact) CHECK(same_bits(trained.to(Device::cpu()), evaluated.to(Device::cpu())));
  }
}

TEST_CASE("nobody looks at a device's weights in training: NaN goes through; evaluation refuses it") {
  if (!cuda_ready()) return;
  for (const char* type : {"minmax", "absmax", "lsq", "diffq", "codeq", "quant_noise", "dq", "float16"}) {
    const std::string rule = concat(R"({"type": ")", type, R"("})");
    INFO(rule);
    OneParameter net = make(rule.c_str(), cuda_device());
    net.put("weight", {0.1, std::numeric_limits<double>::quiet_NaN()});
    const Tensor value = net.value(Mode::Train).to(Device::cpu());
    CHECK(std::isnan(value.ptr<float>()[1]));
    CHECK_THROWS_AS(net.value(Mode::Eval), DivergedError);
  }
}

TEST_CASE("activations' ranges follow batches as on the CPU") {
  if (!cuda_ready()) return;
  struct Net : Module {
    Linear fc;
    Net(const std::string& rule, Device device)
        : Module({.seed = 5, .device = device}), fc(*this, "fc", 3, 2) {
      attach_quantizers(*this, parse_json(concat(R"({"activations": [)", rule, "]}"), "test"),
                        {"test", "quant"});
    }
    Tensor pass(const Tensor& x, Mode mode) {
      run().mode = mode;
      ++run().forward;
      return fc.input()(Var(x)).data().to(Device::cpu());
    }
  };
  for (const char* text : {R"({"type": "minmax", "bits": 3})", R"({"type": "pact", "bits": 3, "init": 1})",
                           R"({"type": "lsq", "bits": 4})", R"({"type": "lsq_plus", "bits": 4})"}) {
    const std::string rule = text;
    INFO(rule);
    Net host(rule, Device::cpu()), device(rule, cuda_device());
    for (const double most : {1.0, 1.7, 0.4}) {
      const Tensor x = some(60000, -0.3, most).view({20000, 3});
      CHECK(same_bits(device.pass(x.to(cuda_device()), Mode::Train), host.pass(x, Mode::Train)));
      for (ActivationQuantizer* one : activation_quantizers_of(device)) one->after_update();
    }
    const Tensor x = some(3000, -0.3, 1).view({1000, 3});
    CHECK(same_bits(device.pass(x.to(cuda_device()), Mode::Eval), host.pass(x, Mode::Eval)));
  }
}

TEST_SUITE_END();

}  // namespace lathe::tests
