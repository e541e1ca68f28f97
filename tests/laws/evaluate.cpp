#include "tests/laws/evaluate.h"

#include <cstring>

#include "core/philox.h"
#include "quant/cases.h"

namespace lathe::laws {

Tensor output_gradient(const Shape& shape, DType dtype) {
  if (dtype == DType::BF16) return output_gradient(shape, DType::F32).to(dtype);
  Tensor gradient = Tensor::empty(shape, dtype);
  const Philox philox{7, stream_id("laws"), 0};
  dispatch_floating(dtype, "laws", [&]<class T>() {
    T* g = gradient.mut<T>();
    for (int64_t i = 0; i < gradient.numel(); ++i) {
      const float u = philox.uniform(static_cast<uint64_t>(i));
      g[i] = static_cast<T>(u < 0.5f ? u - 1.0f : u);
    }
  });
  return gradient;
}

Evaluation evaluate(const OpCase& op_case, const std::vector<Var>& inputs) {
  const Var y = op_case.apply(inputs);
  if (y.requires_grad()) backward(y, output_gradient(y.shape(), y.dtype()).to(y.data().device()));
  Evaluation result{y.data(), {}};
  for (const Var& input : inputs) result.gradients.push_back(input.grad());
  return result;
}

Evaluation evaluate(const OpCase& op_case, DType dtype) {
  return evaluate(op_case, make_inputs(op_case, dtype));
}

std::string difference(const Evaluation& a, const Evaluation& b) {
  if (!same_bits(a.y, b.y)) return "output";
  if (a.gradients.size() != b.gradients.size()) return "number of gradients";
  for (size_t i = 0; i < a.gradients.size(); ++i) {
    if (!same_bits(a.gradients[i], b.gradients[i])) return lathe::concat("gradient ", i);
  }
  return "";
}

double nmse(const Tensor& a, const Tensor& b) {
  LATHE_CHECK(ShapeError, a.shape() == b.shape(), "nmse: shapes ", a.shape(), " and ", b.shape());
  const Tensor left = a.to(DType::F64), right = b.to(DType::F64);
  double error = 0, size = 0;
  for (int64_t i = 0; i < left.numel(); ++i) {
    const double x = left.ptr<double>()[i], y = right.ptr<double>()[i];
    error += (x - y) * (x - y);
    size += y * y;
  }
  return size > 0 ? error / size : error;
}

std::vector<OpCase> every_case() {
  std::vector<OpCase> cases = op_cases();
  for (OpCase& large : large_cases()) cases.push_back(std::move(large));
  for (const QuantCase& one : quant_cases()) cases.push_back(one.op);
  return cases;
}

}  // namespace lathe::laws
