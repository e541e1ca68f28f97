#pragma once
// Runs an op case forward and backward, for laws that compare runs.

#include <string>
#include <vector>

#include "autograd/op_cases.h"

namespace lathe::laws {

/// The output and the gradient of each input, undefined where an input requires none.
struct Evaluation {
  Tensor y;
  std::vector<Tensor> gradients;
};

/// A fixed gradient of the output, away from zero.
Tensor output_gradient(const Shape& shape, DType dtype);

Evaluation evaluate(const OpCase& op_case, DType dtype);
Evaluation evaluate(const OpCase& op_case, const std::vector<Var>& inputs);

/// "" when both are the same bit for bit, else what differs ("output", "gradient 1").
std::string difference(const Evaluation& a, const Evaluation& b);

/// |a - b|^2 / |b|^2; where b is zero, |a|^2. NaN if any number is.
double nmse(const Tensor& a, const Tensor& b);

/// The cases of op_cases() and, with larger shapes, of large_cases().
std::vector<OpCase> every_case();
/// Shapes that make kernels split their work over many chunks and meet every tail of a vector.
std::vector<OpCase> large_cases();

}  // namespace lathe::laws
