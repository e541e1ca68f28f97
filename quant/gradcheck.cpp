#include <algorithm>
#include <cmath>

#include "core/philox.h"
#include "quant/cases.h"

namespace lathe {
namespace {

using quant::Decisions;
using quant::Frozen;

constexpr double kStep = 1e-6;

FrozenTensors freeze(const std::vector<Var>& inputs) {
  FrozenTensors out;
  for (const Var& input : inputs) {
    const double* x = input.data().ptr<double>();
    out.emplace_back(x, x + input.data().numel());
  }
  return out;
}

// Away from zero, so that no output is hidden from the check.
Tensor weights_of(const Tensor& y) {
  Tensor weights = y.empty_like();
  const Philox philox{1, stream_id("gradcheck quant"), 0};
  for (int64_t i = 0; i < weights.numel(); ++i) {
    const double u = static_cast<double>(philox.uniform(static_cast<uint64_t>(i)));
    weights.mut<double>()[i] = u < 0.5 ? u - 1 : u;
  }
  return weights;
}

/// Differences of the surrogate, replayed from the base point.
class Differences {
 public:
  Differences(const QuantCase& quant_case, const std::vector<Var>& inputs)
      : case_(quant_case), x_(freeze(inputs)), base_(case_.surrogate(x_)) {}

  const std::vector<Frozen>& base() const { return base_; }

  double operator()(size_t input, size_t element, const Tensor& weights) {
    Frozen& x = x_[input][element];
    const double value = x.v, h = kStep * std::max(1.0, std::abs(value));
    const double above = value + h, below = value - h;
    x.v = above;
    const double high = weighted(weights);
    x.v = below;
    const double low = weighted(weights);
    x.v = value;
    return (high - low) / (above - below);
  }

 private:
  double weighted(const Tensor& weights) {
    decisions_.rewind();
    const std::vector<Frozen> y = case_.surrogate(x_);
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += y[i].v * weights.ptr<double>()[i];
    return sum;
  }

  const QuantCase& case_;
  Decisions decisions_;
  FrozenTensors x_;
  std::vector<Frozen> base_;
};

void compare_values(const std::vector<Frozen>& surrogate, const Tensor& y, const std::string& name) {
  LATHE_CHECK(InternalError, static_cast<int64_t>(surrogate.size()) == y.numel(), name,
              ": the surrogate has ", surrogate.size(), " elements, the op ", y.numel());
  for (size_t i = 0; i < surrogate.size(); ++i) {
    const double ours = y.ptr<double>()[i];
    LATHE_CHECK(InternalError, std::abs(surrogate[i].v - ours) <= 1e-12 * std::max(1.0, std::abs(ours)), name,
                ": element ", i, " of the surrogate is ", surrogate[i].v, ", of the op ", ours);
  }
}

GradcheckRow check_surrogate(const QuantCase& quant_case) {
  const std::vector<Var> inputs = make_inputs(quant_case.op, DType::F64);
  const Var y = quant_case.op.apply(inputs);
  const Tensor weights = weights_of(y.data());
  backward(y, weights);
  Differences numeric(quant_case, inputs);
  compare_values(numeric.base(), y.data(), quant_case.op.name);
  GradcheckRow row{.name = quant_case.op.name, .tolerance = quant_case.op.options.tolerance, .message = {}};
  for (size_t k = 0; k < inputs.size(); ++k) {
    if (!inputs[k].requires_grad()) continue;
    const double factor = k < quant_case.factors.size() ? quant_case.factors[k] : 1;
    const Tensor& grad = inputs[k].grad();
    for (int64_t i = 0; i < inputs[k].data().numel(); ++i) {
      const double n = factor * numeric(k, static_cast<size_t>(i), weights);
      const double a = grad.defined() ? grad.ptr<double>()[i] : 0;
      const double error = std::abs(a - n) / std::max({1.0, std::abs(a), std::abs(n)});
      if (row.probe(error)) {
        row.message = concat("worst relative error ", error, " at input ", k, ", element ", i, ": analytic ",
                             a, ", numeric ", n);
      }
    }
  }
  row.passed = row.worst <= row.tolerance && row.probes > 0;
  return row;
}

}  // namespace

GradcheckRow gradcheck_case(const QuantCase& quant_case) {
  if (!quant_case.surrogate) return gradcheck_case(quant_case.op);
  try {
    return check_surrogate(quant_case);
  } catch (const Error& error) {
    return {
        .name = quant_case.op.name, .tolerance = quant_case.op.options.tolerance, .message = error.what()};
  }
}

std::vector<GradcheckRow> gradcheck_quant(std::string_view filter) {
  std::vector<GradcheckRow> rows;
  for (const QuantCase& one : quant_cases()) {
    if (one.op.name.find(filter) != std::string::npos) rows.push_back(gradcheck_case(one));
  }
  for (GradcheckRow& row : gradcheck_protocols(filter)) rows.push_back(std::move(row));
  return rows;
}

}  // namespace lathe
