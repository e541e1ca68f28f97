#pragma once
// Models small enough to reason about.

#include "layers/init.h"
#include "layers/model.h"
#include "layers/parameter.h"

namespace lathe::tests {

/// Three parameters of two f64 elements each, of different kinds and roles.
struct ToyParameters : Module {
  ToyParameters() : Module(RootOptions{.dtype = DType::F64}) {}
  Parameter weight{*this, "weight", {.shape = {2}, .init = init::constant(0)}};
  Parameter bias{*this, "bias", {.shape = {2}, .kind = Kind::Bias, .init = init::constant(0)}};
  Parameter bits{*this, "bits", {.shape = {2}, .init = init::constant(0), .role = Role::Bits}};
};

}  // namespace lathe::tests
