#pragma once
// The table of op cases: add a row, get every law (`lathe gradcheck`, tests/laws). An op without a row is not
// done.

#include <functional>
#include <string>
#include <vector>

#include "autograd/gradcheck.h"
#include "autograd/var.h"

namespace lathe {

/// How an input of a case is filled: uniform in [lo, hi) from a fixed Philox stream.
struct CaseInput {
  Shape shape;
  double lo = -1, hi = 1;
  bool requires_grad = true;
};

struct OpCase {
  std::string name;  ///< "conv2d 3x3 stride 2", begins with the op's name
  std::vector<CaseInput> inputs;
  /// Applies the op. Must work in f32 and f64: constants follow inputs[0].dtype(); index tensors are made
  /// inside.
  std::function<Var(const std::vector<Var>&)> apply;
  /// Kinks and tolerances; the default tolerance (1e-6) is loosened only with a reason beside the row.
  GradcheckOptions options = {};
  /// Law: |f32 - f64|^2 / |f64|^2 of outputs and gradients, on every instruction set.
  double nmse = 1e-10;
};

/// Every case, family by family.
const std::vector<OpCase>& op_cases();

/// Inputs of a case as leaves of the given type: the same numbers for f32 and f64 (rounded to f32 first).
std::vector<Var> make_inputs(const OpCase& op_case, DType dtype);

// One function per family file in autograd/cases/.
std::vector<OpCase> elementwise_cases();
std::vector<OpCase> activation_cases();
std::vector<OpCase> reduce_cases();
std::vector<OpCase> matmul_cases();
std::vector<OpCase> conv_cases();
std::vector<OpCase> conv_chain_cases();
std::vector<OpCase> pool_cases();
std::vector<OpCase> norm_cases();
std::vector<OpCase> softmax_cases();
std::vector<OpCase> loss_cases();
std::vector<OpCase> embedding_cases();
std::vector<OpCase> shape_cases();
std::vector<OpCase> random_cases();
std::vector<OpCase> attention_cases();
std::vector<OpCase> interpolate_cases();
std::vector<OpCase> lstm_cases();
std::vector<OpCase> resample_cases();

}  // namespace lathe
