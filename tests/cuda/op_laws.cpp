// CPU = CUDA, over the tables of op and quantizer cases. Run on a GPU where there is one, and in the emulated
// build on the host.

#include <cmath>

#include <doctest/doctest.h>

#include "tests/cuda/device.h"
#include "tests/laws/evaluate.h"

namespace lathe::laws {
namespace {

/// Inputs of a case on the device.
std::vector<Var> device_inputs(const OpCase& op_case, DType dtype) {
  std::vector<Var> inputs;
  for (const Var& input : make_inputs(op_case, dtype)) {
    inputs.emplace_back(input.data().to(tests::cuda_device()), input.requires_grad());
  }
  return inputs;
}

Evaluation to_host(Evaluation evaluation) {
  evaluation.y = evaluation.y.to(Device::cpu());
  for (Tensor& gradient : evaluation.gradients) {
    if (gradient.defined()) gradient = gradient.to(Device::cpu());
  }
  return evaluation;
}

Evaluation on_device(const OpCase& op_case, DType dtype) {
  return to_host(evaluate(op_case, device_inputs(op_case, dtype)));
}

/// In f32.
Evaluation rounded(Evaluation evaluation) {
  evaluation.y = evaluation.y.to(DType::F32);
  for (Tensor& gradient : evaluation.gradients) {
    if (gradient.defined()) gradient = gradient.to(DType::F32);
  }
  return evaluation;
}

std::string far_apart(const Evaluation& found, const Evaluation& expected, double bound) {
  if (found.y.dtype() != expected.y.dtype() || found.y.shape() != expected.y.shape()) return "output's type";
  const double error = nmse(found.y, expected.y);
  if (!(error <= bound)) return lathe::concat("output, nmse ", error);
  for (size_t i = 0; i < expected.gradients.size(); ++i) {
    if (found.gradients[i].defined() != expected.gradients[i].defined())
      return lathe::concat("no gradient ", i);
    if (!expected.gradients[i].defined()) continue;
    const double wrong = nmse(found.gradients[i], expected.gradients[i]);
    if (!(wrong <= bound)) return lathe::concat("gradient ", i, ", nmse ", wrong);
  }
  return "";
}

/// Sums in another order and libm of another device; in f64 nothing else.
constexpr double kF64 = 1e-24;

void check_all(const char* part, std::string (*law)(const OpCase&)) {
  if (!tests::cuda_ready()) return;
  for (const OpCase& op_case : every_case()) {
    if (op_case.name.starts_with("quant ") != (part == std::string("quant"))) continue;
    std::string violation;
    try {
      violation = law(op_case);
    } catch (const std::exception& error) {
      violation = error.what();
    }
    CHECK_MESSAGE(violation.empty(), op_case.name, ": ", violation);
  }
}

std::string equals_cpu(const OpCase& op_case) {
  // f32 is measured against f64: neither device's rounding is the reference.
  const Evaluation reference = evaluate(op_case, DType::F64);
  const std::string what = far_apart(on_device(op_case, DType::F64), reference, kF64);
  if (!what.empty()) return "f64 " + what;
  const Evaluation found = on_device(op_case, DType::F32);
  const std::string rough = far_apart(found, evaluate(op_case, DType::F32), op_case.nmse);
  // A gradient that is 0 but for rounding (attention to one key) is held against f64's.
  if (rough.empty() || far_apart(found, rounded(reference), op_case.nmse).empty()) return "";
  return "f32 " + rough;
}

std::string same_twice(const OpCase& op_case) {
  return difference(on_device(op_case, DType::F32), on_device(op_case, DType::F32));
}

std::string stays_in_bounds(const OpCase& op_case) {
  for (const DType dtype : {DType::F32, DType::F64}) {
    const tests::GuardedDevice guards;
    const Evaluation result = on_device(op_case, dtype);
    if (guards.violations() != 0) return lathe::concat("writes beside a tensor in ", dtype);
    if (nmse(result.y, result.y) != 0) return lathe::concat("leaves elements unwritten in ", dtype);
    for (const Tensor& gradient : result.gradients) {
      if (gradient.defined() && nmse(gradient, gradient) != 0)
        return lathe::concat("leaves elements of a gradient unwritten in ", dtype);
    }
  }
  return "";
}

}  // namespace

TEST_SUITE_BEGIN("gpu ops");

TEST_CASE("ops equal the CPU's") {
  check_all("ops", equals_cpu);
}
TEST_CASE("ops run twice give the same bits") {
  check_all("ops", same_twice);
}
TEST_CASE("ops write all of their outputs and nothing beside them") {
  check_all("ops", stays_in_bounds);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("gpu quant");

TEST_CASE("quantizers equal the CPU's") {
  check_all("quant", equals_cpu);
}
TEST_CASE("quantizers run twice give the same bits") {
  check_all("quant", same_twice);
}
TEST_CASE("quantizers write all of their outputs and nothing beside them") {
  check_all("quant", stays_in_bounds);
}

TEST_SUITE_END();

}  // namespace lathe::laws
