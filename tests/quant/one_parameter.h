#pragma once
// A model of one weight under one rule.

#include <algorithm>
#include <string>
#include <vector>

#include "core/json.h"
#include "layers/init.h"
#include "quant/attach.h"

namespace lathe::tests {

struct OneParameter : Module {
  struct Options {
    Shape shape = {6, 35};
    Axes axes = Axes::Plain;
    bool forward = true;  ///< training multiplies with the quantized weight
    DType dtype = DType::F32;
    Device device = Device::cpu();
    Initializer init = init::normal(0.3);
  };

  explicit OneParameter(const std::string& rule) : OneParameter(rule, Options()) {}
  OneParameter(const std::string& rule, const Options& options)
      : Module({.seed = 7, .dtype = options.dtype, .device = options.device}),
        weight(*this, "weight", {.shape = options.shape, .init = options.init, .axes = options.axes}) {
    const char* forward = options.forward ? "true" : "false";
    attach_quantizers(*this,
                      parse_json(concat(R"({"forward": )", forward, R"(, "rules": [)", rule, "]}"), "test"),
                      {"test", "quant"});
    quantizer = quantizers_of(*this).at(0);
    quantizer->initialise();
  }
  Tensor value(Mode mode) {
    run().mode = mode;
    ++run().forward;
    return weight.value().data();
  }
  /// The first elements of a parameter; the others stay.
  void put(const std::string& name, const std::vector<double>& values) {
    const Var& raw = find_parameter(name)->raw();
    Tensor tensor = raw.data().to(Device::cpu()).to(DType::F64).clone();
    std::copy(values.begin(), values.end(), tensor.mut<double>());
    raw.set_data(tensor.to(raw.dtype()).to(raw.data().device()));
  }
  Parameter weight;
  Quantizer* quantizer;
};

}  // namespace lathe::tests
