// The gradient check of quantizers finds a wrong sign in any one of their formulas.

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "autograd/op_cases.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "quant/cases.h"

namespace lathe {
namespace {

/// x, whose gradient comes back with the wrong sign.
Var wrong_sign(const Var& x) {
  return record("wrong sign", x.data(), {x}, {}, [](Backward& b) { b.pass(0, neg(Var(b.dy())).data()); });
}

bool is_zero(const Tensor& tensor) {
  if (!tensor.defined()) return true;
  const auto values = tensor.span<double>();
  return std::all_of(values.begin(), values.end(), [](double value) { return value == 0; });
}

/// The inputs that get a gradient at all.
std::vector<size_t> taught_inputs(const OpCase& op) {
  const std::vector<Var> inputs = make_inputs(op, DType::F64);
  backward(sum(op.apply(inputs)));
  std::vector<size_t> taught;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].requires_grad() && !is_zero(inputs[i].grad())) taught.push_back(i);
  }
  return taught;
}

}  // namespace

TEST_SUITE_BEGIN("quant ops");

TEST_CASE("a wrong sign in the gradient of any input of any quantizer is found") {
  int planted = 0;
  for (const QuantCase& right : quant_cases()) {
    for (const size_t input : taught_inputs(right.op)) {
      CAPTURE(right.op.name);
      CAPTURE(input);
      QuantCase wrong = right;
      wrong.op.apply = [apply = right.op.apply, input](const std::vector<Var>& given) {
        std::vector<Var> changed = given;
        changed[input] = wrong_sign(given[input]);
        return apply(changed);
      };
      CHECK_FALSE(gradcheck_case(wrong).passed);
      ++planted;
    }
  }
  CHECK(planted > 60);
}

TEST_CASE("an error that is NaN is the worst of a row, whatever came before and comes after") {
  GradcheckRow row;
  CHECK(row.probe(0.5));
  CHECK_FALSE(row.probe(0.25));
  CHECK(row.probe(NAN));
  CHECK_FALSE(row.probe(1));
  CHECK(std::isnan(row.worst));
  CHECK(row.probes == 4);
}

TEST_SUITE_END();

}  // namespace lathe
