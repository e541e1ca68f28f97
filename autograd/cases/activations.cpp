#include "autograd/ops/activations.h"

#include "autograd/op_cases.h"

namespace lathe {
namespace {

using Inputs = std::vector<Var>;

OpCase activation_case(std::string name, std::function<Var(const Var&)> apply, std::vector<double> kinks = {},
                       double range = 4) {
  return {.name = std::move(name),
          .inputs = {{.shape = {3, 37}, .lo = -range, .hi = range}},
          .apply = [apply = std::move(apply)](const Inputs& x) { return apply(x[0]); },
          .options = {.kinks = std::move(kinks)}};
}

OpCase glu_case(const char* name, const Shape& shape, int axis) {
  return {.name = name, .inputs = {{.shape = shape, .lo = -2, .hi = 2}}, .apply = [axis](const Inputs& x) {
            return glu(x[0], axis);
          }};
}

}  // namespace

std::vector<OpCase> activation_cases() {
  return {
      activation_case("relu", relu, {0}),
      activation_case("relu6", relu6, {0, 6}, 9),
      activation_case("leaky_relu", [](const Var& x) { return leaky_relu(x, 0.2); }, {0}),
      activation_case("elu", [](const Var& x) { return elu(x); }, {0}),
      activation_case("elu alpha 1.5", [](const Var& x) { return elu(x, 1.5); }, {0}),
      activation_case("gelu", gelu),
      activation_case("gelu_tanh", gelu_tanh),
      activation_case("silu", silu),
      activation_case("hardswish", hardswish, {-3, 3}),
      activation_case("hardsigmoid", hardsigmoid, {-3, 3}),
      activation_case("sigmoid", sigmoid),
      activation_case("sigmoid of large values", sigmoid, {}, 30),
      activation_case("tanh", tanh),
      activation_case("softplus", softplus),
      activation_case("softplus of large values", softplus, {}, 50),
      glu_case("glu last axis", {3, 5, 14}, -1),
      glu_case("glu middle axis", {2, 6, 5}, 1),
      glu_case("glu first axis", {4, 9}, 0),
      glu_case("glu empty", {0, 4}, 1),
  };
}

}  // namespace lathe
